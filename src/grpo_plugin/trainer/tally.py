"""Metrics of many forward passes and ranks as one number each, whatever the split."""

from collections.abc import Mapping

import torch
from accelerate.utils import gather_object
from torch import Tensor

_LARGEST = ("ratio/max",)
_NAMES = {"kl/ref": "kl"}  # as TRL logs it


class Tally:
    """Means weighed by tokens, and maxima, since the last `drain`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._largest: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor], tokens: Tensor) -> None:
        """Means over `tokens` tokens, and maxima; nothing is waited for on a GPU."""
        for name, value in metrics.items():
            if name in _LARGEST:
                self._largest[name] = torch.maximum(self._largest.get(name, value), value)
            elif name != "tokens":
                name = _NAMES.get(name, name)
                self._sums[name] = self._sums.get(name, 0.0) + value * tokens
                self._weights[name] = self._weights.get(name, 0.0) + tokens

    def mean(self, name: str) -> float | None:
        """A mean over this step and all ranks so far; None if nothing was added. Collective."""
        mine = (self._sums[name].item(), self._weights[name].item()) if name in self._sums else (0.0, 0.0)
        total = [sum(column) for column in zip(*gather_object([mine]), strict=True)]
        return total[0] / total[1] if total[1] else None

    def drain(self) -> dict[str, float]:
        """All of it, over all ranks. Collective."""
        mine = (
            {name: (value.item(), self._weights[name].item()) for name, value in self._sums.items()},
            {name: value.item() for name, value in self._largest.items()},
        )
        self._sums, self._weights, self._largest = {}, {}, {}
        means, maxima = zip(*gather_object([mine]), strict=True)
        values = {name: _mean([part[name] for part in means if name in part]) for name in _keys(means)}
        values |= {name: max(part[name] for part in maxima if name in part) for name in _keys(maxima)}
        return values


def _keys(parts: tuple[Mapping[str, object], ...]) -> list[str]:
    return sorted({name for part in parts for name in part})


def _mean(parts: list[tuple[float, float]]) -> float:
    return sum(total for total, _ in parts) / max(1.0, sum(weight for _, weight in parts))

"""The metrics of a run: every one is added here, and does not depend on the split over micro-batches and ranks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

LARGEST = ("ratio/max",)  # logged as the maximum, all others as weighted means

Number = float | Tensor


@dataclass
class Sums:
    """Weighted sums and maxima by name; tensors stay on their device until they are read."""

    sums: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    largest: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: Number, weight: Number) -> None:
        if isinstance(value, float) and math.isnan(value):
            return
        if name in LARGEST:
            known = self.largest.get(name, value)
            self.largest[name] = torch.maximum(torch.as_tensor(known), torch.as_tensor(value))
        else:
            self.sums[name] = self.sums.get(name, 0.0) + value * weight
            self.weights[name] = self.weights.get(name, 0.0) + weight

    def totals(self) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
        """(sum, weight) of each mean, and the maxima, as plain numbers."""
        means = {name: (float(value), float(self.weights[name])) for name, value in self.sums.items()}
        return means, {name: float(value) for name, value in self.largest.items()}


class Metrics:
    """Weighted means (and maxima) over micro-batches, ranks and logging steps.

    A metric of an optimizer step is logged once. A metric of a rollout batch (`of_batch`) is logged with every
    optimizer step that trains on the batch, and averaged over the batches between two logs.
    """

    def __init__(self) -> None:
        self._step = Sums()
        self._batches = [Sums()]  # the batch last logged, then those begun since

    def add(self, name: str, value: Number, weight: Number = 1.0, *, of_batch: bool = False) -> None:
        """Add a value that counts `weight` times in its mean, such as the tokens it is a mean of; NaN is left out."""
        (self._batches[-1] if of_batch else self._step).add(name, value, weight)

    def begin_batch(self) -> None:
        """A new rollout batch: its metrics take the place of the last one's."""
        self._batches.append(Sums())

    def step_mean(self, name: str) -> float | None:
        """The mean of a metric in this optimizer step so far, over all ranks; None if nothing was added. Collective."""
        means, _ = self._step.totals()
        return _mean([means.get(name, (0.0, 0.0)) for means in gather_object([means])])

    def drain(self) -> dict[str, float]:
        """All metrics since the last call, over all ranks; the next step starts anew. Collective."""
        batches, self._batches = self._batches[1:] or self._batches, self._batches[-1:]
        step, self._step = self._step, Sums()
        parts = gather_object([[sums.totals() for sums in batches] + [step.totals()]])
        everything = [totals for part in parts for totals in part]
        return _means([means for means, _ in everything]) | _maxima([maxima for _, maxima in everything])

    def state(self) -> Sums:
        """What a checkpoint keeps: the metrics of the current batch."""
        return self._batches[-1]

    def restore(self, state: Sums) -> None:
        self._batches = [state]


def _means(parts: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    means = {name: _mean([part[name] for part in parts if name in part]) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean(parts: Sequence[tuple[float, float]]) -> float | None:
    weight = sum(weight for _, weight in parts)
    return sum(total for total, _ in parts) / weight if weight else None


def _maxima(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for part in parts for name in part})
    return {name: max(part[name] for part in parts if name in part) for name in names}

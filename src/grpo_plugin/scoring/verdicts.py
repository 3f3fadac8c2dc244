"""What a reward function returned, checked: one finite number (or None, or a dict of them) per completion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.batch import Batch

OVERALL = "overall"


@dataclass
class Verdicts:
    """The scores of B completions by one function.

    Attributes:
        scores: the reward of each completion; None where the function abstained or failed.
        parts: for a function that returns dicts, every key with its value per completion.
        failures: why a completion has no score, by row.
        seconds: how long each completion took, where it was timed on its own.
    """

    scores: list[float | None]
    parts: dict[str, list[float | None]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)


def check(where: str, returned: Any, batch: Batch) -> Verdicts:
    """Turn what a function returned for `batch` into verdicts.

    Raises:
        RewardError: it is no sequence of len(batch) items, or an item is no finite number, None or dict of those;
            the error names function, row and completion.
    """
    items = returned.tolist() if hasattr(returned, "tolist") else returned
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise RewardError(
            f"{where}: returned a {type(returned).__name__}; a reward returns a list with one number per completion."
        )
    if len(items) != len(batch):
        raise RewardError(
            f"{where}: returned {len(items)} values for {len(batch)} completions; return one per completion."
        )
    verdicts = Verdicts([None] * len(batch))
    for row, item in enumerate(items):
        _add(verdicts, where, row, item, batch)
    return verdicts


def _add(verdicts: Verdicts, where: str, row: int, item: Any, batch: Batch) -> None:
    if not isinstance(item, Mapping):
        verdicts.scores[row] = number(where, item, row, batch)
        return
    if OVERALL not in item:
        keys = ", ".join(map(str, item)) or "no keys"
        raise RewardError(f"{where}: returned a dict without {OVERALL!r} for {batch.where(row)}; it has {keys}.")
    for key, value in item.items():
        column = verdicts.parts.setdefault(str(key), [None] * len(batch))
        column[row] = number(f"{where}, key {key!r}", value, row, batch)
    verdicts.scores[row] = verdicts.parts[OVERALL][row]


def number(where: str, value: Any, row: int, batch: Batch) -> float | None:
    """One finite float, or None for an abstention.

    Raises:
        RewardError: the value is no number, or not finite.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if value is None:
        return None
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, (int, float)):
        raise RewardError(
            f"{where}: returned {value!r} ({type(value).__name__}) for {batch.where(row)}; return a float or None."
        )
    if not math.isfinite(plain):
        raise RewardError(f"{where}: returned {plain} for {batch.where(row)}; return a finite number or None.")
    return float(plain)

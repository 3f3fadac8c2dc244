"""Checks what a reward function returned: one finite number (or None, or a dict of them) per completion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.completions import CompletionBatch

OVERALL = "overall"


@dataclass(frozen=True)
class Outcome:
    """The verdict on one completion.

    Attributes:
        score: the reward; None where the function abstained or there is no verdict.
        parts: for a function that returned a dict, its numbers by key.
        error: why there is no verdict.
        lost: there is none because of a time limit, a crash or memory, not because the grader is broken.
        seconds: how long it took.
    """

    score: float | None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None
    lost: bool = False
    seconds: float = 0.0


@dataclass
class Verdicts:
    """The scores of B completions by one function.

    Attributes:
        scores: the reward of each completion; None where the function abstained or failed.
        parts: for a function that returns dicts, every key with its value per completion.
        failures: why a completion has no score, by row.
        lost: the rows that failed by a time limit, a crash or memory, not by a broken grader.
        seconds: how long each completion took; even shares where one call scored them all.
        wall: seconds for all of them.
    """

    scores: list[float | None]
    parts: dict[str, list[float | None]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0


def allowed_failures(config: RewardsConfig, size: int) -> float:
    """How many of `size` completions may fail in one function: the share `rewards.max_failed`, at least one if any."""
    return max(config.max_failed * size, float(config.max_failed > 0))


def collect(outcomes: Sequence[Outcome], wall: float) -> Verdicts:
    """The verdicts that single outcomes make."""
    keys = dict.fromkeys(key for outcome in outcomes for key in outcome.parts)
    return Verdicts(
        [outcome.score for outcome in outcomes],
        {key: [outcome.parts.get(key) for outcome in outcomes] for key in keys},
        {row: outcome.error for row, outcome in enumerate(outcomes) if outcome.error is not None},
        {row for row, outcome in enumerate(outcomes) if outcome.lost},
        [outcome.seconds for outcome in outcomes],
        wall,
    )


def check(where: str, returned: Any, batch: CompletionBatch) -> Verdicts:
    """Turn what a function returned for `batch` into verdicts.

    Raises:
        RewardError: it is no sequence of len(batch) items, or an item is no finite number, None or dict of those;
            the error names function, row and completion.
    """
    items = returned.tolist() if hasattr(returned, "tolist") else returned
    if not isinstance(items, Sequence) or isinstance(items, (str, bytes, bytearray, memoryview)):
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


def _add(verdicts: Verdicts, where: str, row: int, item: Any, batch: CompletionBatch) -> None:
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


def number(where: str, value: Any, row: int, batch: CompletionBatch) -> float | None:
    """One finite float, or None for an abstention.

    Raises:
        RewardError: the value is no number, or not finite.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if value is None:
        return None
    plain = _plain(value)
    if not isinstance(plain, (int, float)):
        raise RewardError(
            f"{where}: returned {value!r} ({type(value).__name__}) for {batch.where(row)}; return a float or None."
        )
    try:
        finite = float(plain)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise RewardError(f"{where}: returned {finite} for {batch.where(row)}; return a finite number or None.")
    return finite


def _plain(value: Any) -> Any:
    """The number in an array or tensor that holds one (NumPy's, torch's, JAX's); anything else as it is."""
    if not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError):  # it holds more than one, or none
        return value

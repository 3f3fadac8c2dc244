"""The scores that the reward functions of a recipe gave to one batch of completions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from grpo_plugin.scoring.aggregate import mean_of_known
from grpo_plugin.scoring.verdicts import OVERALL, Verdicts


@dataclass(frozen=True)
class BatchScores:
    """The scores of B completions, and what belongs to them; every inner list has length B.

    Attributes:
        by_function: each function's scores, in the order of `RewardSet.names`; None where it abstained or failed.
        parts: every key of the dicts that functions returned, as `name/key`; None where a completion lacks it.
        seconds: how long each completion took to score, over all functions; None where this was not measured.
        metrics: means of the parts as `rewards/NAME/KEY`, and the share of failures as `rewards/NAME/failed`.
        failures: by function name, why a completion has no score, by its place in the batch.
        wall_seconds: by function name, seconds from call to last answer.
    """

    by_function: list[list[float | None]]
    parts: dict[str, list[float | None]]
    seconds: list[float] | None
    metrics: dict[str, float]
    failures: dict[str, dict[int, str]]
    wall_seconds: dict[str, float]


def combined(verdicts: Mapping[str, Verdicts]) -> BatchScores:
    """The verdicts of all functions (by unique name) on the same completions, as one result."""
    timed = [one.seconds for one in verdicts.values() if one.seconds]
    return BatchScores(
        by_function=[one.scores for one in verdicts.values()],
        parts={f"{name}/{key}": values for name, one in verdicts.items() for key, values in _parts(one)},
        seconds=[math.fsum(column) for column in zip(*timed, strict=True)] if timed else None,
        metrics={name: value for function, one in verdicts.items() for name, value in _metrics(function, one)},
        failures={name: one.failures for name, one in verdicts.items()},
        wall_seconds={name: one.wall for name, one in verdicts.items()},
    )


def _parts(one: Verdicts) -> list[tuple[str, list[float | None]]]:
    return [(key, values) for key, values in one.parts.items() if key != OVERALL]


def _metrics(name: str, one: Verdicts) -> list[tuple[str, float]]:
    means = [(f"rewards/{name}/{key}", mean_of_known(values)) for key, values in _parts(one)]
    failed = len(one.failures) / len(one.scores) if one.failures else None
    return [(key, value) for key, value in (*means, (f"rewards/{name}/failed", failed)) if value is not None]

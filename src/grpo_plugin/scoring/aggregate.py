"""From the scores of several functions to one number per completion."""

import math
from collections.abc import Iterable, Sequence

_TOLERANCE = 1e-8


def totals(
    scores: Sequence[Sequence[float | None]], weights: Sequence[float], aggregation: str, group_size: int
) -> list[float | None]:
    """Weighted totals of `scores` (functions × completions), groups of `group_size` lying side by side.

    "sum" adds weight × score; "normalize_then_sum" first gives each function's scores in a group mean 0 and
    standard deviation 1 (GDPO, arXiv 2601.05242), a group of equal scores being all 0. None scores are left out; a
    completion without any score is None.
    """
    if aggregation == "normalize_then_sum":
        scores = [_normalized(column, group_size) for column in scores]
    return [_total(row, weights) for row in zip(*scores, strict=True)]


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None where all are."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _total(row: Sequence[float | None], weights: Sequence[float]) -> float | None:
    present = [weight * score for weight, score in zip(weights, row, strict=True) if score is not None]
    return math.fsum(present) if present else None


def _normalized(column: Sequence[float | None], group_size: int) -> list[float | None]:
    groups = [column[start : start + group_size] for start in range(0, len(column), group_size)]
    return [score for group in groups for score in _standardized(group)]


def _standardized(group: Sequence[float | None]) -> list[float | None]:
    """Scores less their mean, over their sample standard deviation."""
    present = [score for score in group if score is not None]
    if len(present) < 2 or max(present) - min(present) <= _TOLERANCE:
        return [None if score is None else 0.0 for score in group]
    mean = math.fsum(present) / len(present)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in present) / (len(present) - 1))
    return [None if score is None else (score - mean) / deviation for score in group]

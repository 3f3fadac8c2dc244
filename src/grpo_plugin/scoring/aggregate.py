"""From the scores of several functions to one number per completion."""

import math
from collections.abc import Iterable, Sequence


def totals(
    scores: Sequence[Sequence[float | None]], weights: Sequence[float], aggregation: str, group_size: int
) -> list[float | None]:
    """Weighted totals of `scores` (functions × completions), groups of `group_size` lying side by side.

    "sum" adds weight × score; "normalize_then_sum" first takes from each function's scores the mean of their group and
    divides by its deviation (GDPO, arXiv 2601.05242), a group of equal scores being all 0. None scores are left out; a
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
    """As the estimator `gdpo` normalises the scores of one function; torch is loaded for this aggregation alone."""
    import torch

    from grpo_plugin.algorithms.estimators import grpo

    scores = torch.tensor([math.nan if score is None else score for score in column], dtype=torch.float64)
    normalized = grpo(scores, group_size).tolist()
    return [None if score is None else value for score, value in zip(column, normalized, strict=True)]

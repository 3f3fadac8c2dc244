"""Several sources with weights: how many rows of each make an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.order import permutation
from grpo_plugin.recipe.sources import Source


@dataclass(frozen=True)
class Mixture:
    """Which rows make an epoch (`indices` into the sources' rows one after the other), and a line that says so."""

    indices: np.ndarray
    note: str


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """`total` rows divided in proportion to the weights, by largest remainder, so that they add up."""
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def mix(field: str, sources: Sequence[Source], rows: Sequence[int], seed: int) -> Mixture | None:
    """The rows that make an epoch; None when all sources are simply taken whole.

    An epoch has as many rows as the sources together. A source whose share is larger than itself is repeated, one whose
    share is smaller is sampled, both by seed.

    Args:
        rows: rows of each source, as they follow each other in the data set.

    Raises:
        RecipeError: a weight so small that its source has no row in an epoch.
    """
    weights = [source.weight for source in sources if source.weight is not None]
    if not weights:
        return None
    taken = shares(sum(rows), weights)
    if 0 in taken:
        source = sources[taken.index(0)]
        raise RecipeError(f"{field}: weight {source.weight} of {source.spec!r} gives no row in an epoch; raise it.")
    starts = np.cumsum([0, *rows[:-1]])
    picked = [start + _take(of, number, seed) for start, of, number in zip(starts, rows, taken, strict=True)]
    parts = [
        f"{source.spec} {number:,} ({number / of:.2f} of its {of:,} rows)"
        for source, of, number in zip(sources, rows, taken, strict=True)
    ]
    return Mixture(np.concatenate(picked), f"{field}: an epoch mixes {', '.join(parts)}.")


def _take(rows: int, number: int, seed: int) -> np.ndarray:
    """`number` of `rows` row numbers: whole passes, then a sample, in order."""
    passes, rest = divmod(number, rows)
    sample = np.sort(permutation(rows, seed, 0)[:rest])
    return np.concatenate([*[np.arange(rows)] * passes, sample]).astype(np.int64)

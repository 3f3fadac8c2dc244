"""maj@k: how often the most frequent answer of k samples is right, equivalent answers counting as one."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

DRAWS = 1000  # of k samples; where there are fewer, all of them


def votes(answers: Sequence[str | None], equivalent: Callable[[str, str], bool]) -> list[int | None]:
    """For each answer the place of the first that is equivalent to it; None where there is no answer.

    Args:
        equivalent: the reward's own; called in both orders, as graders trust one side more.
    """
    firsts: list[int] = []
    known: dict[str, int] = {}
    for place, answer in enumerate(answers):
        if answer is None or answer in known:
            continue
        same = (first for first in firsts if _same(answer, str(answers[first]), equivalent))
        known[answer] = next(same, place)
        if known[answer] == place:
            firsts.append(place)
    return [None if answer is None else known[answer] for answer in answers]


def majority_at_k(cast: Sequence[int | None], correct: Sequence[float], k: int) -> float:
    """Chance that the most frequent vote of k samples, drawn without replacement, is a correct one.

    Votes that are equally frequent share the draw; samples without a vote count for none. All draws are taken where
    there are at most 1,000, else 1,000 at random, always the same ones.

    Args:
        cast: of each sample, equal for equivalent answers; None for no answer.
        correct: 1 or 0 of each sample.

    Raises:
        ValueError: k is over the number of samples.
    """
    if k > len(cast):
        raise ValueError(f"maj@{k} needs at least {k} completions, got {len(cast)}")
    names = sorted({vote for vote in cast if vote is not None})
    if not names:
        return 0.0
    drawn = np.array([-1 if vote is None else vote for vote in cast])[_draws(len(cast), k)]
    counts = np.stack([(drawn == name).sum(axis=1) for name in names])  # votes × draws
    winners = (counts == counts.max(axis=0)) & (counts > 0)
    right = np.array([_mean([c for vote, c in zip(cast, correct, strict=True) if vote == name]) for name in names])
    return float((right @ winners / np.maximum(winners.sum(axis=0), 1)).mean())


def _same(one: str, other: str, equivalent: Callable[[str, str], bool]) -> bool:
    return equivalent(one, other) or equivalent(other, one)


def _draws(n: int, k: int) -> np.ndarray:
    """(draws, k) places of samples."""
    if math.comb(n, k) <= DRAWS:
        return np.array(list(combinations(range(n), k)))
    generator = np.random.default_rng(0)
    return generator.permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)[:, :k]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""The order of prompts: a function of seed and position alone, the same on every machine, process count and resume.

TRL's RepeatSampler draws each epoch's permutation from one running generator, so a resumed run draws them again from
the first; and it loses the last incomplete batch of every epoch. Here the n-th prompt of a run is the same however
often it was interrupted, and one pass over the data goes on into the next.
"""

from functools import lru_cache

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


@lru_cache(maxsize=2)
def permutation(rows: int, seed: int, epoch: int) -> np.ndarray:
    """Row numbers 0 … rows−1, shuffled: sorted by SplitMix64 hashes (Steele et al. 2014) of seed, epoch and row."""
    with np.errstate(over="ignore"):
        start = _split_mix(_split_mix(np.uint64(seed % 2**64)) + np.uint64(epoch % 2**64))
        keys = _split_mix(start + np.arange(rows, dtype=np.uint64) * _GOLDEN)
    return np.argsort(keys, kind="stable")


def _split_mix(state: np.ndarray | np.uint64) -> np.ndarray:
    mixed = np.asarray(state, dtype=np.uint64) + _GOLDEN
    for shift, factor in _MIX:
        mixed = (mixed ^ (mixed >> shift)) * factor
    return mixed ^ (mixed >> np.uint64(31))


def sequence(rows: int, seed: int, first: int, number: int, shuffle: bool = True) -> np.ndarray:
    """Rows at places first … first + number − 1 of the endless sequence of passes, each shuffled by itself."""
    passes = range(first // rows, (first + number - 1) // rows + 1)
    turns = [permutation(rows, seed, turn) if shuffle else np.arange(rows) for turn in passes]
    start = first - passes.start * rows
    return np.concatenate(turns)[start : start + number]

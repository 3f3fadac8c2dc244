"""The order of prompts: a function of seed and position alone, the same on every machine, process count and resume.

TRL's RepeatSampler draws each epoch's permutation from one running generator, so a resumed run draws them again from
the first; and it loses the last incomplete batch of every epoch. Here the n-th prompt of a run is the same however
often it was interrupted, and what an epoch leaves over comes first in the next.
"""

from collections.abc import Callable, Iterator

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


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


class PromptOrder:
    """A sampler for TRL's GRPO trainer: whole batches of prompts, each prompt G times in a row.

    Args:
        rows: prompts in the data set (P in all).
        batch: prompts per generation batch, over all processes.
        generations: completions per prompt (G).
        repeats: how often a generated batch is read again (`num_iterations × steps_per_generation`).
        seed: the run's seed.
        epoch: the epoch about to start, asked at every `__iter__`; without it, `set_epoch` or the count of passes says.
    """

    def __init__(
        self,
        rows: int,
        *,
        batch: int,
        generations: int = 1,
        repeats: int = 1,
        seed: int = 0,
        epoch: Callable[[], int] | None = None,
    ) -> None:
        self.rows, self.batch, self.generations, self.repeats, self.seed = rows, batch, generations, repeats, seed
        self._ask_epoch = epoch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    @property
    def prompts_per_epoch(self) -> int:
        """Whole batches only; at least one batch, so that few prompts can still fill one."""
        return max(1, self.rows // self.batch) * self.batch

    def __len__(self) -> int:
        return self.prompts_per_epoch * self.generations * self.repeats

    def __iter__(self) -> Iterator[int]:
        epoch = self._ask_epoch() if self._ask_epoch else self._epoch
        self._epoch = epoch + 1
        prompts = self.prompts(epoch * self.prompts_per_epoch, self.prompts_per_epoch)
        for start in range(0, len(prompts), self.batch):
            for _ in range(self.repeats):
                for prompt in prompts[start : start + self.batch]:
                    yield from [int(prompt)] * self.generations

    def prompts(self, first: int, number: int) -> np.ndarray:
        """Rows at positions first … first + number − 1 of the endless sequence of shuffled passes."""
        passes = range(first // self.rows, (first + number - 1) // self.rows + 1)
        sequence = np.concatenate([permutation(self.rows, self.seed, turn) for turn in passes])
        offset = first - passes.start * self.rows
        return sequence[offset : offset + number]

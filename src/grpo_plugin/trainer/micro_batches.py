"""Which rank runs which rollouts in which micro-batch of an optimizer step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import gather_object

from grpo_plugin.algorithms.packing import micro_batches

T = TypeVar("T")
Indices = list[list[int]]
"""Micro-batches, each the indices of its rollouts."""


@dataclass(frozen=True)
class BatchSize:
    """The size of a micro-batch: a number of completions, or, if `tokens` is set, of tokens."""

    completions: int
    tokens: int | None = None

    def divide(self, lengths: Sequence[int], ranks: int) -> Indices:
        """Micro-batches of sequences of these lengths (with prompt); their number is a multiple of `ranks`."""
        if self.tokens is None:
            batches = [
                list(range(start, min(start + self.completions, len(lengths))))
                for start in range(0, len(lengths), self.completions)
            ]
        else:
            batches = micro_batches(lengths, self.tokens)
            if missing := -len(batches) % ranks:
                batches = micro_batches(lengths, self.tokens, at_least=len(batches) + missing)
        return batches + [[]] * (-len(batches) % ranks)


def optimizer_steps(rollouts: int, number: int) -> list[range]:
    """The rollouts of each of `number` optimizer steps: consecutive, and as even as can be."""
    return [range(rollouts * step // number, rollouts * (step + 1) // number) for step in range(number)]


def assign_micro_batches(
    lengths: Sequence[int], size: BatchSize, *, rank: int, ranks: int, accumulation_steps: int
) -> list[Indices]:
    """This rank's micro-batches in each gradient accumulation step.

    Every rank has as many in the same accumulation step, some of them perhaps empty. Gradients are averaged over ranks
    after the last micro-batch of the last accumulation step, so the last steps are filled first.

    Args:
        lengths: tokens of each rollout, prompt included.

    Returns:
        By accumulation step a list of micro-batches, each the indices of its rollouts.
    """
    if not lengths:
        return [[] for _ in range(accumulation_steps)]
    mine = size.divide(lengths, ranks)[rank::ranks]
    return [mine[step::accumulation_steps] for step in range(accumulation_steps)][::-1]


def map_over_ranks(
    work: Callable[[Indices], dict[int, T]], lengths: Sequence[int], size: BatchSize, accelerator: Accelerator
) -> list[T]:
    """Each rank does `work` on its share of the sequences; every rank gets all results, in order. Collective."""
    if not lengths:
        return []
    mine = size.divide(lengths, accelerator.num_processes)[accelerator.process_index :: accelerator.num_processes]
    results = {index: value for part in gather_object([work(mine)]) for index, value in part.items()}
    return [results[index] for index in range(len(lengths))]


def share_of_rank(number: int, accelerator: Accelerator) -> range:
    """The consecutive items of this rank out of `number`; the last ranks may have fewer, or none."""
    share = -(-number // accelerator.num_processes)
    start = min(number, share * accelerator.process_index)
    return range(start, min(number, start + share))

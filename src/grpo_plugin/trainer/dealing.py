"""Which rank runs which completions in which forward pass of an optimizer step."""

from collections.abc import Sequence

from grpo_plugin.algorithms.packing import micro_batches

Passes = list[list[int]]


def steps(samples: int, number: int) -> list[range]:
    """The completions of each of `number` optimizer steps, side by side and as even as can be."""
    return [range(samples * step // number, samples * (step + 1) // number) for step in range(number)]


def deal(
    lengths: Sequence[int], *, rank: int, ranks: int, ticks: int, micro: int, budget: int | None = None
) -> list[Passes]:
    """This rank's passes in each tick; every rank has as many in the same tick, some of them perhaps empty.

    Gradients are shared in the last tick's last pass, so passes are given to the last ticks first.

    Args:
        lengths: tokens of each completion with its prompt.
        ticks: gradient accumulation steps.
        micro: completions per pass, if there is no `budget` of tokens.

    Returns:
        By tick a list of passes, each the indices of its completions.
    """
    if not lengths:
        return [[] for _ in range(ticks)]
    passes = _by_tokens(lengths, budget, ranks) if budget else _by_number(len(lengths), micro)
    passes += [[]] * (-len(passes) % ranks)
    mine = passes[rank::ranks]
    shares = [mine[tick::ticks] for tick in range(ticks)]
    return shares[::-1]


def _by_number(completions: int, micro: int) -> Passes:
    return [list(range(start, min(start + micro, completions))) for start in range(0, completions, micro)]


def _by_tokens(lengths: Sequence[int], budget: int, ranks: int) -> Passes:
    passes = micro_batches(lengths, budget)
    if short := -len(passes) % ranks:
        passes = micro_batches(lengths, budget, at_least=len(passes) + short)
    return passes

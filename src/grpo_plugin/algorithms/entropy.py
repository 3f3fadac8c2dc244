"""Which tokens the policy gradient is taken on: those of highest entropy (arXiv 2506.01939)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def entropy_threshold(entropies: Tensor, share: float) -> Tensor:
    """The entropy that a `share` of the tokens reach: the (1 − share) quantile, linearly interpolated, as TRL's.

    Departure: the paper and TRL take the quantile over a micro-batch of all ranks, so that it depends on the split of a
    step; over all tokens that a rollout batch trains on, it does not.

    Args:
        entropies: (K,) in nats, of all tokens that are to be compared; at least one.
        share: over 0 and up to 1; `trl.top_entropy_quantile`.

    Returns:
        A scalar; −inf where the share is 1.
    """
    if share >= 1.0:
        return entropies.new_full((), -torch.inf)
    # torch.quantile refuses more than 16 million values; a step may have more tokens.
    ordered = entropies.flatten().sort().values
    place = (1.0 - share) * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], place - below)


def highest_entropy(entropies: Sequence[Tensor], share: float) -> list[Tensor]:
    """(T,) of each rollout, true on the tokens that are among the `share` of highest entropy of all rollouts.

    Args:
        entropies: (T,) of each rollout, in nats; at least one token in all.
    """
    threshold = entropy_threshold(torch.cat(list(entropies)), share)
    return [row >= threshold for row in entropies]

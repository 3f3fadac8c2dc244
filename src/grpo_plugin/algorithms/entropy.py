"""Which tokens the policy gradient is taken on: those of highest entropy (arXiv 2506.01939)."""

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


def high_entropy(entropies: Tensor, mask: Tensor, threshold: Tensor | float) -> Tensor:
    """(B, T), true on the tokens of the mask whose entropy is at least the threshold; `losses.policy_loss` takes it."""
    return mask.bool() & (entropies.detach() >= threshold)

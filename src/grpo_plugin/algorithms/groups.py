"""Groups of completions of one prompt: which of them have rewards that differ, and what share of all groups.

Whether rewards differ is decided by the largest minus the smallest, never by a standard deviation: the deviation of
equal rewards such as 0.1 is not 0 in floating point. NaN marks a completion that no reward function could score.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from grpo_plugin.errors import RecipeError

TOLERANCE = 1e-6  # rewards closer than this are equal


class Signal(NamedTuple):
    """Fractions of the P groups; they sum to 1."""

    all_right: float
    all_wrong: float
    mixed: float
    unscorable: float


def split(values: Tensor, group_size: int) -> Tensor:
    """Rewards (B,) as (P, G).

    Raises:
        RecipeError: B is no multiple of the group size.
    """
    if group_size < 1 or values.shape[0] % group_size:
        raise RecipeError(
            f"num_generations: {values.shape[0]} completions do not fall into groups of {group_size}; "
            "make the batch a multiple of the group size."
        )
    return values.view(-1, group_size)


def spread(rewards: Tensor, group_size: int) -> Tensor:
    """Largest minus smallest scorable reward of each group (P,); 0 where fewer than two are scorable."""
    grouped = split(rewards, group_size)
    nan = grouped.isnan()
    largest = grouped.masked_fill(nan, -torch.inf).amax(1)
    smallest = grouped.masked_fill(nan, torch.inf).amin(1)
    return (largest - smallest).clamp(min=0)


def mixed(rewards: Tensor, group_size: int, tolerance: float = TOLERANCE) -> Tensor:
    """Which groups (P,) hold rewards that differ by more than the tolerance."""
    return spread(rewards, group_size) > tolerance


def informative(
    values: Tensor,
    group_size: int,
    *,
    tolerance: float = TOLERANCE,
    low: float | None = None,
    high: float | None = None,
) -> Tensor:
    """Which groups (P,) dynamic sampling keeps.

    Without bounds these are the mixed groups: 0 < #right < G in DAPO (arXiv 2503.14476, eq. 11). With bounds they are
    the groups whose mean value lies strictly between them, as EasyR1's online filtering has it (`filter_low`,
    `filter_high`); `values` (B,) is then the reward, or whichever metric the filter looks at.
    """
    if low is None and high is None:
        return mixed(values, group_size, tolerance)
    mean = split(values, group_size).nanmean(1)
    return (mean > (-torch.inf if low is None else low)) & (mean < (torch.inf if high is None else high))


def signal(rewards: Tensor, group_size: int, *, tolerance: float = TOLERANCE, right: float = 0.5) -> Signal:
    """The shares of groups with and without a signal.

    Args:
        rewards: (B,), NaN where unscorable.
        right: a group of equal rewards counts as all right where they exceed this, else as all wrong.
    """
    is_mixed = mixed(rewards, group_size, tolerance)
    mean = split(rewards, group_size).nanmean(1)
    unscorable = mean.isnan()
    equal = ~is_mixed & ~unscorable
    shares = [equal & (mean > right), equal & (mean <= right), is_mixed, unscorable]
    return Signal(*torch.stack(shares).to(rewards.dtype).mean(1).tolist())

"""The advantage estimators: each a function of named inputs that returns (B,), or (B, T) where tokens differ.

Inputs an estimator may name: `rewards` (B,), NaN where unscorable; `group_size` G; `mask` (B, T), true on completion
tokens; `baselines` (B,); `penalty` (B, T), the coefficient times the KL of each token; `rewards_per_function` (B, R)
and `reward_weights` (R,); `overlong` (B,), the soft overlong penalty from −1 to 0, and `overlong_factor`, its weight.
Whatever else it names is an option of the recipe. An estimator that does not name `penalty` or `overlong` finds them in
its `rewards`: the KL as one sum per completion, the overlong penalty times its factor.
"""

import torch
from torch import Tensor

from grpo_plugin.algorithms import groups
from grpo_plugin.algorithms.groups import TOLERANCE


def grpo(rewards: Tensor, group_size: int, epsilon: float = 1e-4, tolerance: float = TOLERANCE) -> Tensor:
    """(reward − mean of its group) / deviation of its group (arXiv 2402.03300, section 4.1.2).

    The paper leaves the deviation's guard open; 1e-4 and Bessel's correction are TRL's.
    """
    grouped = groups.split(rewards, group_size)
    scaled = (grouped - _mean(grouped)) / (_deviation(grouped) + epsilon)
    return _where_mixed(scaled, rewards, group_size, tolerance)


def grpo_batch(rewards: Tensor, group_size: int, epsilon: float = 1e-4, tolerance: float = TOLERANCE) -> Tensor:
    """(reward − mean of its group) / deviation of all rewards of the batch (arXiv 2508.08221).

    TRL's `scale_rewards: batch`, with its guard and Bessel's correction.
    """
    grouped = groups.split(rewards, group_size)
    scaled = (grouped - _mean(grouped)) / (_deviation(rewards.unsqueeze(0)) + epsilon)
    return _where_mixed(scaled, rewards, group_size, tolerance)


def dr_grpo(rewards: Tensor, group_size: int, tolerance: float = TOLERANCE) -> Tensor:
    """Reward − mean of its group, not divided by the deviation (arXiv 2503.20783, section 3.2)."""
    grouped = groups.split(rewards, group_size)
    return _where_mixed(grouped - _mean(grouped), rewards, group_size, tolerance)


def rloo(rewards: Tensor, group_size: int, tolerance: float = TOLERANCE) -> Tensor:
    """Reward − mean of the other scorable rewards of its group (arXiv 2402.14740)."""
    grouped = groups.split(rewards, group_size)
    count = _count(grouped)
    return _where_mixed((grouped - _mean(grouped)) * count / (count - 1), rewards, group_size, tolerance)


def grpo_passk(
    rewards: Tensor, group_size: int, scale: bool = True, epsilon: float = 1e-4, tolerance: float = TOLERANCE
) -> Tensor:
    """Best − second best for the one best completion of a group, 0 for the rest: the leave-one-out advantage of pass@G.

    Source: arXiv 2503.19595, section 3. Departure: divided by the group's deviation, as EasyR1 and verl have it, unless
    `scale` is false.
    """
    grouped = groups.split(rewards, group_size)
    ranked = grouped.masked_fill(grouped.isnan(), -torch.inf)
    best, where = ranked.topk(min(2, group_size), dim=1)
    lead = (best[:, :1] - best[:, -1:]) / (_deviation(grouped) + epsilon if scale else 1.0)
    advantages = torch.zeros_like(grouped).scatter(1, where[:, :1], lead)
    return _where_mixed(advantages, rewards, group_size, tolerance)


def reinforce(rewards: Tensor, batch_baseline: bool = False) -> Tensor:
    """The reward itself (Williams 1992), or its distance to the mean of the batch."""
    return rewards - rewards.nanmean() if batch_baseline else rewards


def reinforce_baseline(rewards: Tensor) -> Tensor:
    """REINFORCE with the mean reward of the batch as baseline."""
    return reinforce(rewards, batch_baseline=True)


def remax(rewards: Tensor, baselines: Tensor) -> Tensor:
    """Reward − reward of the greedy completion of the same prompt, `baselines` (B,) (arXiv 2310.10505, algorithm 1)."""
    return rewards - baselines


def reinforce_plus_plus(
    rewards: Tensor, mask: Tensor, penalty: Tensor | None = None, gamma: float = 1.0, tolerance: float = TOLERANCE
) -> Tensor:
    """Return of each token less the KL still to come, normalised over all tokens of the batch.

    Source: arXiv 2501.03262, eq. 8–10. (B, T) where a KL in the reward or a discount makes tokens differ, else (B,).
    """
    return whiten(returns(rewards, mask, penalty, gamma), mask, tolerance)


def reinforce_plus_plus_baseline(
    rewards: Tensor,
    group_size: int,
    mask: Tensor,
    penalty: Tensor | None = None,
    gamma: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """REINFORCE++ on reward − mean of its group (arXiv 2501.03262, "w/ baseline")."""
    grouped = groups.split(rewards, group_size)
    return reinforce_plus_plus((grouped - _mean(grouped)).flatten(), mask, penalty, gamma, tolerance)


def gdpo(
    rewards_per_function: Tensor,
    group_size: int,
    reward_weights: Tensor | None = None,
    overlong: Tensor | None = None,
    overlong_factor: float = 1.0,
    epsilon: float = 1e-4,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Each reward function normalised in its group as in GRPO, their weighted sum normalised over the batch.

    Source: arXiv 2601.05242; the deviations' guard is TRL's. A function that does not apply to a completion (NaN)
    leaves it out; a completion to which none applies has no advantage. The paper treats a length reward as one more
    objective, so the overlong penalty is one more reward, normalised in its group like the others, of weight
    `overlong_factor`.
    """
    scores = rewards_per_function
    unscorable = scores.isnan().all(1)
    weights = scores.new_ones(scores.shape[1]) if reward_weights is None else reward_weights
    if overlong is not None:
        scores = torch.cat([scores, overlong.to(scores).unsqueeze(1)], dim=1)
        weights = torch.cat([weights, weights.new_tensor([overlong_factor])])
    normalised = torch.stack([grpo(column, group_size, epsilon, tolerance) for column in scores.unbind(1)], dim=1)
    total = (normalised.masked_fill(scores.isnan(), 0.0) * weights).sum(1).masked_fill(unscorable, torch.nan)
    return _normalise(total, torch.ones_like(total), epsilon, tolerance)


def returns(rewards: Tensor, mask: Tensor, penalty: Tensor | None, gamma: float) -> Tensor:
    """Discounted sum of what follows each token: the reward on the last one, −penalty on all of them.

    Returns (B,) where all tokens of a completion have the same return, else (B, T).
    """
    if gamma != 1.0:
        return _discounted(rewards, mask.bool(), penalty, gamma)
    if penalty is None:
        return rewards
    return penalty.flip(1).cumsum_(1).flip(1).neg_().add_(rewards.unsqueeze(1))


def whiten(values: Tensor, mask: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Values (B,) or (B, T) less their mean, over their deviation; both count every token of a scorable completion."""
    weights = mask.to(values.dtype, copy=True)
    return _normalise(values, weights if values.dim() == 2 else weights.sum(1), 1e-8, tolerance)


def _normalise(values: Tensor, weights: Tensor, epsilon: float, tolerance: float) -> Tensor:
    """(value − weighted mean) / (weighted deviation + epsilon); 0 where all values are equal, and for unscorable rows.

    A step has millions of tokens. So a row counts as unscorable if its first value is NaN (then all are), sums of
    products are dot products, and the weights, like everything else but the values, are changed in place.
    """
    absent = values.isnan() if values.dim() == 1 else values[:, :1].isnan()
    weights.masked_fill_(absent, 0.0)
    count = weights.sum()
    centred = values.masked_fill(absent, 0.0)
    centred -= torch.dot(centred.flatten(), weights.flatten()) / count
    centred.masked_fill_(absent, 0.0)
    counted = centred * weights.sign()
    if count < 2 or counted.max() - counted.min() <= tolerance:
        return torch.zeros_like(values)
    variance = torch.dot(counted.square_().flatten(), weights.flatten()) / (count - 1)
    return centred.div_(variance.sqrt() + epsilon)


def _discounted(rewards: Tensor, mask: Tensor, penalty: Tensor | None, gamma: float) -> Tensor:
    """Returns (B, T), backwards from the last token; what is outside the mask takes no time."""
    result = rewards.new_zeros(mask.shape)
    ahead = rewards / gamma
    for t in reversed(range(mask.shape[1])):
        here = gamma * ahead if penalty is None else gamma * ahead - penalty[:, t]
        ahead = torch.where(mask[:, t], here, ahead)
        result[:, t] = ahead
    return result


def _count(grouped: Tensor) -> Tensor:
    return (~grouped.isnan()).sum(1, keepdim=True)


def _mean(grouped: Tensor) -> Tensor:
    return grouped.nanmean(1, keepdim=True)


def _deviation(grouped: Tensor) -> Tensor:
    """Sample deviation of the scorable rewards of each group (P, 1); NaN where fewer than two are scorable."""
    squares = (grouped - _mean(grouped)).square().nansum(1, keepdim=True)
    return (squares / (_count(grouped) - 1)).sqrt()


def _where_mixed(advantages: Tensor, rewards: Tensor, group_size: int, tolerance: float) -> Tensor:
    """Advantages (P, G) as (B,), exactly 0 in groups whose rewards are all equal."""
    is_mixed = groups.mixed(rewards, group_size, tolerance).unsqueeze(1)
    return torch.where(is_mixed, advantages, 0.0).flatten()

"""Advantages: how much better each completion, or each of its tokens, was than could be expected."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grpo_plugin.algorithms import estimators, registry
from grpo_plugin.algorithms.kl import kl
from grpo_plugin.errors import RecipeError

ESTIMATORS: dict[str, Callable[..., Tensor]] = {
    "grpo": estimators.grpo,
    "grpo_batch": estimators.grpo_batch,
    "dr_grpo": estimators.dr_grpo,
    "rloo": estimators.rloo,
    "reinforce": estimators.reinforce,
    "reinforce_baseline": estimators.reinforce_baseline,
    "reinforce_plus_plus": estimators.reinforce_plus_plus,
    "reinforce_plus_plus_baseline": estimators.reinforce_plus_plus_baseline,
    "remax": estimators.remax,
    "grpo_passk": estimators.grpo_passk,
    "gdpo": estimators.gdpo,
}


def inputs(name: str) -> frozenset[str]:
    """The inputs that an estimator names: whether it needs `baselines`, `rewards_per_function`, …

    Raises:
        RecipeError: unknown estimator.
    """
    return frozenset(inspect.signature(registry.resolve("advantage", name, ESTIMATORS)).parameters)


def check_inputs(name: str, *, kl: bool, overlong: bool) -> None:
    """Refuse a KL in the reward, or a soft overlong penalty, that an estimator would ignore.

    Args:
        kl: the recipe takes a KL off the reward.
        overlong: the recipe has a soft penalty on overlong completions.

    Raises:
        RecipeError: unknown estimator, or one that takes neither `rewards` nor the KL or penalty by name.
    """
    estimator = registry.resolve("advantage", name, ESTIMATORS)
    if kl:
        _route(name, estimator, "penalty")
    if overlong:
        _route(name, estimator, "overlong")


@torch.no_grad()
def compute(
    name: str,
    *,
    rewards: Tensor,
    group_size: int,
    mask: Tensor,
    baselines: Tensor | None = None,
    rewards_per_function: Tensor | None = None,
    reward_weights: Tensor | None = None,
    overlong: Tensor | None = None,
    overlong_factor: float = 1.0,
    logps: Tensor | None = None,
    ref_logps: Tensor | None = None,
    kl_coef: float = 0.0,
    kl_estimator: str = "k1",
    **options: Any,
) -> Tensor:
    """Advantages of a whole batch, over all processes.

    Args:
        name: a built-in estimator, or a dotted path to a function that names its inputs as those in `estimators` do.
        rewards: (B,) fp32 or fp64; NaN where no reward function could score.
        group_size: G; B is a multiple of it.
        mask: (B, T), true on completion tokens.
        baselines: (B,) rewards of the greedy completion of each prompt, for remax.
        rewards_per_function: (B, R), with `reward_weights` (R,), for gdpo.
        overlong: (B,) from −1 to 0, `overlong.soft_penalty` of each completion; None for no such penalty. Estimators of
            `rewards` get rewards + `overlong_factor` · overlong; gdpo takes it as one more reward of that weight.
        logps: (B, T) log-probabilities of the sampling policy; with `ref_logps` and `kl_coef` > 0, the KL to the
            reference model is taken off the reward.
        options: what else the estimator takes.

    Returns:
        (B,), or (B, T) where tokens differ; 0 wherever the reward is NaN.

    Raises:
        RecipeError: unknown estimator or option, missing input, uneven groups, or an advantage that is not finite.
    """
    estimator = registry.resolve("advantage", name, ESTIMATORS)
    offered: dict[str, Any] = {
        "group_size": group_size,
        "mask": mask,
        "baselines": baselines,
        "rewards_per_function": rewards_per_function,
        "reward_weights": reward_weights,
    }
    penalty = _penalty(logps, ref_logps, mask, kl_coef, kl_estimator)
    offered |= _reward_and_penalties(name, estimator, rewards, overlong, overlong_factor, penalty)
    unscorable = rewards.isnan() if baselines is None else rewards.isnan() | baselines.isnan()
    return _checked(name, registry.call("advantage", name, estimator, offered, options), unscorable, mask)


def _reward_and_penalties(
    name: str,
    estimator: Callable[..., Tensor],
    rewards: Tensor,
    overlong: Tensor | None,
    overlong_factor: float,
    penalty: Tensor | None,
) -> dict[str, Any]:
    """The rewards (B,) that an estimator gets, and the penalties that it names as inputs."""
    offered: dict[str, Any] = {}
    if overlong is not None:
        if _route(name, estimator, "overlong") == "overlong":
            offered |= {"overlong": overlong, "overlong_factor": overlong_factor}
        else:
            rewards = rewards + overlong_factor * overlong
    if penalty is not None:
        if _route(name, estimator, "penalty") == "penalty":
            offered["penalty"] = penalty
        else:
            rewards = rewards - penalty.sum(1)
    return {**offered, "rewards": rewards}


def _penalty(
    logps: Tensor | None, ref_logps: Tensor | None, mask: Tensor, coefficient: float, estimator: str
) -> Tensor | None:
    """KL times its coefficient at each token (B, T), 0 outside the mask; None where no KL is taken off the reward."""
    if coefficient == 0.0:
        return None
    if logps is None or ref_logps is None:
        raise RecipeError(f"algorithm.kl_coef: {coefficient} in the reward needs the log-probabilities of both models.")
    return (coefficient * kl(logps, ref_logps, estimator)).masked_fill_(~mask.bool(), 0.0)


_REMEDIES = {
    "penalty": "algorithm.kl_placement: 'reward' does not reach advantage {name!r}; use 'loss'.",
    "overlong": "algorithm.overlong: 'soft' does not reach advantage {name!r}; use 'mask' or 'keep'.",
}


def _route(name: str, estimator: Callable[..., Tensor], what: str) -> str:
    """How an estimator takes a `penalty` or `overlong`: by that name if it names it, else in its `rewards`.

    Raises:
        RecipeError: it takes neither.
    """
    parameters = inspect.signature(estimator).parameters
    if what in parameters:
        return what
    if "rewards" in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return "rewards"
    raise RecipeError(_REMEDIES[what].format(name=name))


def _checked(name: str, advantages: Tensor, unscorable: Tensor, mask: Tensor) -> Tensor:
    """The estimator's answer, with 0 where nothing could be scored."""
    if advantages.shape not in (unscorable.shape, mask.shape):
        raise RecipeError(
            f"algorithm.advantage: {name!r} returned shape {tuple(advantages.shape)}; "
            f"return {tuple(unscorable.shape)} or {tuple(mask.shape)}."
        )
    rows = unscorable if advantages.dim() == 1 else unscorable.unsqueeze(1)
    advantages = torch.where(rows, 0.0, advantages)
    if not advantages.sum().isfinite():
        raise RecipeError(f"algorithm.advantage: {name!r} gave an advantage that is not finite; check the rewards.")
    return advantages

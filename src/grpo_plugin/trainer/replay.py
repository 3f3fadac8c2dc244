"""The recorded rollouts of a step through an algorithm again, without a server: its advantages, loss and gradient.

Departs from the step itself in two ways. All groups that were generated at the step are taken, also those that dynamic
sampling kept for a later batch. Without the policy of that step the ratio is 1 and there is no KL: the loss is then a
function of the log-probabilities of the tokens, and so is its gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from grpo_plugin.algorithms import advantages as estimators
from grpo_plugin.algorithms.groups import informative
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.dynamic_sampler import column
from grpo_plugin.trainer.kl_coefficient import KlCoefficient
from grpo_plugin.trainer.loss import PolicyLoss
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.rollout import Rollout, completion_mask, padded, rewards_of
from grpo_plugin.trainer.sample_builder import SampleBuilder
from grpo_plugin.trainer.training_sample import TrainingSample


@dataclass(frozen=True)
class Recorded:
    """The rollouts of a step, groups side by side, and what every algorithm needs to know of the run.

    Attributes:
        reward_weights: of the reward functions, in the order of each rollout's scores.
        max_completion_length: in tokens.
    """

    rollouts: Sequence[Rollout]
    group_size: int
    reward_weights: Sequence[float]
    max_completion_length: int


@dataclass(frozen=True)
class Replay:
    """One algorithm on the rollouts of a step. B = rollouts.

    Attributes:
        kept: (B,) whether dynamic sampling trains on it.
        advantages: (B,) means over the tokens of each; 0 for those that are not kept, or masked.
        loss: of the optimizer step.
        gradient: flat: of the weights where the policy is known, else of the tokens' log-probabilities.
    """

    kept: Tensor
    advantages: Tensor
    loss: float
    gradient: Tensor


def replay(recorded: Recorded, algorithm: Algorithm, policy: Policy | None = None) -> Replay:
    """What `algorithm` makes of the rollouts, in one optimizer step.

    Args:
        policy: of the step, from the checkpoint before it; with it the loss has its KL.

    Raises:
        RecipeError: the algorithm needs what was not recorded: the rewards of greedy completions (remax), or a part of
            a reward by which dynamic sampling chooses.
    """
    if "baselines" in estimators.inputs(algorithm.preset.advantage):
        raise RecipeError(
            f"algorithm.advantage: {algorithm.preset.advantage!r} needs the rewards of greedy completions, which are "
            "not recorded; replay another algorithm."
        )
    algorithm = algorithm if policy is not None else _without_models(algorithm)
    kept = _kept(recorded, algorithm)
    chosen = [rollout for rollout, keep in zip(recorded.rollouts, kept.tolist(), strict=True) if keep]
    builder = _builder(recorded, algorithm, policy)
    samples = builder.build(chosen)
    if not samples:
        loss, gradient = 0.0, torch.zeros(1)
    elif policy is None:
        loss, gradient = _of_logps(recorded, algorithm, samples, builder.denominator(samples))
    else:
        loss, gradient = _of_weights(recorded, algorithm, builder, samples, policy)
    return Replay(kept, _means(recorded, kept, samples), loss, gradient)


def _without_models(algorithm: Algorithm) -> Algorithm:
    """Without what only a forward pass gives: KL, and the entropy of tokens."""
    config = algorithm.config.model_copy(update={"top_entropy_quantile": None})
    return replace(algorithm, preset=replace(algorithm.preset, kl_coef=0.0), config=config)


def _kept(recorded: Recorded, algorithm: Algorithm) -> Tensor:
    rewards, chosen = rewards_of(recorded.rollouts), algorithm.filter
    if chosen is None:
        return torch.ones(len(rewards), dtype=torch.bool)
    values = rewards if chosen.key is None else _recorded_column(recorded, chosen.key)
    tolerance = algorithm.config.tolerance
    groups = informative(values, recorded.group_size, tolerance=tolerance, low=chosen.low, high=chosen.high)
    return groups.repeat_interleave(recorded.group_size)


def _recorded_column(recorded: Recorded, key: str) -> Tensor:
    try:
        return column(recorded.rollouts, key)
    except RecipeError as error:
        raise RecipeError(
            f"{str(error).rstrip('.')}; of a reward function that returns a dict its score alone is recorded."
        ) from None


def _builder(recorded: Recorded, algorithm: Algorithm, policy: Policy | None) -> SampleBuilder:
    return SampleBuilder(
        policy,  # type: ignore[arg-type]  # asked for nothing by an algorithm without models
        algorithm,
        KlCoefficient(algorithm),
        Metrics(),
        group_size=recorded.group_size,
        reward_weights=recorded.reward_weights,
        max_completion_length=recorded.max_completion_length,
        reused=False,
    )


def _of_logps(
    recorded: Recorded, algorithm: Algorithm, samples: Sequence[TrainingSample], denominator: float
) -> tuple[float, Tensor]:
    """The loss at ratio 1, and its gradient at each token's log-probability."""
    used = [sample for sample in samples if not sample.masked]
    if not used:
        return 0.0, torch.zeros(1)
    mask = completion_mask([sample.rollout for sample in used])
    known = [sample.rollout.sampler_logps or [0.0] * len(sample.rollout.completion_ids) for sample in used]
    logps = padded(known, mask.shape[1]).requires_grad_()
    loss, _ = policy_loss(
        logps,
        None,
        padded([sample.advantages for sample in used], mask.shape[1]),
        mask,
        denominator=denominator,
        constant=algorithm.config.loss_constant or recorded.max_completion_length,
        **algorithm.preset.loss_arguments,
    )
    loss.backward()
    assert logps.grad is not None
    of_rollout = {id(s.rollout): g[: len(s.rollout.completion_ids)] for s, g in zip(used, logps.grad, strict=True)}
    rows = [of_rollout.get(id(r), torch.zeros(len(r.completion_ids))) for r in recorded.rollouts]
    return loss.item(), torch.cat(rows)


def _of_weights(
    recorded: Recorded,
    algorithm: Algorithm,
    builder: SampleBuilder,
    samples: Sequence[TrainingSample],
    policy: Policy,
) -> tuple[float, Tensor]:
    """The loss of the policy itself, and its gradient at every trained weight, on the CPU."""
    policy_loss_of = PolicyLoss(
        policy,
        algorithm,
        KlCoefficient(algorithm),
        Metrics(),
        correction=None,
        max_completion_length=recorded.max_completion_length,
    )
    policy.model.zero_grad()
    total = 0.0
    for micro_batch in builder.micro_batches(samples, 1, 1)[0]:
        loss = policy_loss_of(policy.model, micro_batch)
        loss.backward()
        total += loss.item()
    trained = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    rows = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    return total, torch.cat([row.flatten().float().cpu() for row in rows])


def _means(recorded: Recorded, kept: Tensor, samples: Sequence[TrainingSample]) -> Tensor:
    found = {id(sample.rollout): sample.advantages.mean().item() for sample in samples if not sample.masked}
    return torch.tensor([found.get(id(rollout), 0.0) for rollout in recorded.rollouts]) * kept


FIGURES: dict[str, Callable[[Replay], str]] = {
    "completions trained on": lambda each: str(int(each.kept.sum())),
    "with an advantage": lambda each: str(int((each.advantages != 0).sum())),
    "mean |advantage|": lambda each: f"{each.advantages.abs().mean():.4f}",
    "loss": lambda each: f"{each.loss:.6f}",
    "norm of the gradient": lambda each: f"{each.gradient.norm():.6f}",
}


def differences(before: Replay, after: Replay) -> list[tuple[str, str, str]]:
    """(what, of the one, of the other), in words and figures."""
    flipped = int((before.advantages * after.advantages < 0).sum())
    return [
        *((what, figure(before), figure(after)) for what, figure in FIGURES.items()),
        ("advantages of another sign", "", str(flipped)),
        ("correlation of advantages", "", _figure(_cosine(_centred(before.advantages), _centred(after.advantages)))),
        ("cosine of the gradients", "", _figure(_cosine(before.gradient, after.gradient))),
    ]


def _centred(values: Tensor) -> Tensor:
    return values - values.mean()


def _cosine(one: Tensor, other: Tensor) -> float | None:
    """None where one of them is 0, or they are of different things."""
    if one.shape != other.shape or not one.any() or not other.any():
        return None
    one, other = one.double(), other.double()
    return (one @ other / (one.norm() * other.norm())).item()


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

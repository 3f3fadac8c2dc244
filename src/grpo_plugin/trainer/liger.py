"""Liger's fused loss, called as TRL does (`trl.use_liger_loss: true`), for those of our losses that it has.

Liger averages over the sequences it is given; scaled by their share of the optimizer step, its loss is ours.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.rollout import length_mask, padded_ids
from grpo_plugin.trainer.training_sample import MicroBatch

_LEVELS = {"ppo": "token", "gspo": "sequence"}  # kinds that Liger has, and the level of their ratio
_TYPES = {"token": "bnpo", "sequence": "grpo", "constant": "dr_grpo"}  # by loss average


def arguments(algorithm: Algorithm) -> dict[str, Any]:
    """The fields of GRPOConfig that Liger's loss is built from.

    Raises:
        RecipeError: it has no such loss.
    """
    preset = algorithm.preset
    bounds = preset.clip_low, preset.clip_high
    constant = algorithm.config.loss_constant
    if preset.loss not in _LEVELS or None in bounds or preset.clip_dual or constant or algorithm.kl_in_reward:
        raise RecipeError(
            f"trl.use_liger_loss: Liger has no loss for algorithm {algorithm.config.name!r} as it is set here (it has "
            "ppo and gspo, with both clip bounds, and a k3 KL in the loss); remove it."
        )
    if algorithm.kl_in_loss and preset.kl_estimator != "k3":
        raise RecipeError(f"trl.use_liger_loss: Liger's KL is k3, not {preset.kl_estimator!r}; change one of them.")
    return {
        "loss_type": _TYPES[preset.loss_average],
        "importance_sampling_level": _LEVELS[preset.loss],
        "epsilon": preset.clip_low,
        "epsilon_high": preset.clip_high,
    }


class LigerLoss:
    """Liger's loss of micro-batches.

    Args:
        mean_loss: TRL's function of a model and a padded batch; returns the batch's mean loss.
        ranks: number of ranks over which gradients are averaged.
    """

    def __init__(
        self, mean_loss: Callable[[nn.Module, dict[str, Tensor]], Tensor], algorithm: Algorithm, ranks: int
    ) -> None:
        self._mean_loss, self._by_token = mean_loss, algorithm.preset.loss_average == "token"
        self._ranks = ranks

    def __call__(self, model: nn.Module, batch: MicroBatch, mask: Tensor) -> Tensor:
        """The share of a micro-batch in the loss of its optimizer step; `mask` (B, T) true on the tokens that count."""
        mean = self._mean_loss(model, _inputs(batch, mask))
        of_mean = mask.sum() if self._by_token else len(batch.samples)
        return mean * of_mean / (batch.denominator / self._ranks)


def _inputs(batch: MicroBatch, mask: Tensor) -> dict[str, Tensor]:
    """The batch as TRL's padded loss takes it: prompts padded on the left, completions on the right."""
    prompts = [rollout.prompt_ids[::-1] for rollout in batch.rollouts]
    completions = [rollout.completion_ids for rollout in batch.rollouts]
    width = mask.shape[1]
    advantages = batch.advantages(width, mask.device)
    if not torch.where(mask, advantages == advantages[:, :1], True).all():
        raise RecipeError("trl.use_liger_loss: Liger takes one advantage per completion, not one per token; remove it.")
    inputs = {
        "prompt_ids": padded_ids(prompts, mask.device).flip(1),
        "prompt_mask": length_mask(prompts, mask.device).flip(1).long(),
        "completion_ids": padded_ids(completions, mask.device),
        "completion_mask": length_mask(completions, mask.device).long(),
        "tool_mask": mask.long(),
        "advantages": advantages[:, 0],
    }
    logps = {
        "old_per_token_logps": batch.old_logps(width, mask.device),
        "ref_per_token_logps": batch.ref_logps(width, mask.device),
    }
    return inputs | {name: values for name, values in logps.items() if values is not None}

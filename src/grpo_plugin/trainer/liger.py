"""Liger's fused loss, by TRL's own route (`trl.use_liger_loss: true`): for those of our losses that it has.

Liger averages over the sequences it is given; scaled by what they are of the optimizer step, its loss is ours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer import forward
from grpo_plugin.trainer.sample import Sample

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

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


def loss(
    trainer: "PolicyTrainer",
    model: nn.Module,
    samples: Sequence[Sample],
    mask: Tensor,
    advantages: Tensor,
    denominator: float,
    **logps: Tensor | None,
) -> Tensor:
    """The share of a pass in the loss of its optimizer step.

    Args:
        mask: (B, T), true on the tokens that count.
        advantages: (B,).
        denominator: completions or tokens of the step, per rank.
        logps: `old_per_token_logps`, `ref_per_token_logps` and `importance_sampling_ratio`, as TRL names them.
    """
    width = max(len(sample.prompt_ids) for sample in samples)
    prompts = torch.zeros(len(samples), width, dtype=torch.long)
    for row, sample in enumerate(samples):
        prompts[row, width - len(sample.prompt_ids) :] = torch.tensor(sample.prompt_ids)
    lengths = torch.tensor([len(sample.prompt_ids) for sample in samples])
    inputs = {
        "prompt_ids": prompts.to(mask.device),
        "prompt_mask": (torch.arange(width) >= width - lengths.unsqueeze(1)).long().to(mask.device),
        "completion_ids": forward.ids([sample.completion_ids for sample in samples], mask.device),
        "completion_mask": forward.real([sample.completion_ids for sample in samples], mask.device).long(),
        "tool_mask": mask.long(),
        "advantages": advantages,
        **{name: values for name, values in logps.items() if values is not None},
    }
    mean: Tensor = trainer.compute_loss(model, inputs)
    whole = mask.sum() if trainer.algorithm.preset.loss_average == "token" else len(samples)
    return mean * trainer.current_gradient_accumulation_steps * whole / denominator

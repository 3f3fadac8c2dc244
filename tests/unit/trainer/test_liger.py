"""Liger's fused loss gives the gradient of ours, on batches that are split and ragged."""

from typing import Any

import pytest
import torch
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss

from grpo_plugin.algorithms.settings import Algorithm, of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer import liger
from grpo_plugin.trainer.policy import Policy
from tests.unit.trainer.rollouts import MAX_LENGTH, Step, make_model, make_step, rollouts


def fused(algorithm: Algorithm, policy: Policy) -> liger.LigerLoss:
    """TRL's part of Liger's loss, on the model's own hidden states, uncompiled."""
    given = liger.arguments(algorithm)
    kernel = LigerFusedLinearGRPOLoss(
        beta=algorithm.preset.kl_coef,
        use_ref_model=algorithm.uses_reference,
        epsilon_low=given["epsilon"],
        epsilon_high=given["epsilon_high"],
        loss_type=given["loss_type"],
        importance_sampling_level=given["importance_sampling_level"],
        max_completion_length=MAX_LENGTH,
        compiled=False,
    )

    def mean(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        width = inputs["completion_ids"].shape[1]
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        states = model.model(input_ids=ids, attention_mask=mask, position_ids=positions).last_hidden_state
        loss, _ = kernel(
            _input=states[:, -width - 1 : -1],
            lin_weight=model.lm_head.weight,
            selected_token_ids=inputs["completion_ids"],
            attention_mask=inputs["tool_mask"] * inputs["completion_mask"],
            advantages=inputs["advantages"],
            ref_per_token_logps=inputs.get("ref_per_token_logps"),
            old_per_token_logps=inputs.get("old_per_token_logps"),
        )
        return loss

    return liger.LigerLoss(mean, algorithm, ranks=1)


def gradient(step: Step, accumulation_steps: int) -> torch.Tensor:
    for share in step.micro_batches(rollouts(), accumulation_steps=accumulation_steps):
        for batch in share:
            step.loss(step.policy.model, batch).backward()
    return torch.cat([p.grad.flatten() for p in step.policy.model.parameters()])


@pytest.mark.parametrize("split", [(8, 1), (2, 2)], ids=str)
@pytest.mark.parametrize(
    "block",
    [
        {"name": "grpo"},
        {"name": "grpo", "loss_average": "token", "kl_coef": 0},
        {"name": "dr_grpo"},
        {"name": "gspo"},
    ],
    ids=str,
)
def test_liger_gives_the_gradient_of_our_loss(block, split):
    completions, accumulation_steps = split
    ours = make_step(block, completions=completions, model=make_model().float())
    theirs = make_step(block, completions=completions, model=make_model().float(), fused=fused)
    expected = gradient(ours, accumulation_steps)
    assert torch.allclose(gradient(theirs, accumulation_steps), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "block",
    [{"name": "gmpo"}, {"name": "cispo"}, {"name": "grpo", "clip_dual": 3}, {"name": "grpo", "kl_estimator": "k1"}],
    ids=str,
)
def test_what_liger_lacks_is_refused(block):
    with pytest.raises(RecipeError, match=r"trl\.use_liger_loss: Liger"):
        liger.arguments(of_recipe(AlgorithmConfig.parse("algorithm", block), {}))


def test_liger_needs_to_know_the_algorithm():
    with pytest.raises(RecipeError, match="needs to know the algorithm"):
        of_recipe(None, {"use_liger_loss": True})

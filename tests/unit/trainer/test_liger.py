"""Liger's fused loss gives the gradient of ours, on batches that are split and ragged."""

from typing import Any

import pytest
import torch
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer import liger
from grpo_plugin.trainer.update import Update, dealt

from .test_update import Stand, samples


class LigerStand(Stand):
    """TRL's part, `compute_loss`, on the model's own hidden states; uncompiled."""

    def __init__(self, block: dict[str, Any], **split: int) -> None:
        super().__init__(block, **split)
        self.model, self.reference = self.model.float(), self.reference.float()
        self.use_liger_kernel = True
        self.current_gradient_accumulation_steps = split.get("ticks", 1)
        given = liger.arguments(self.algorithm)
        self.fused = LigerFusedLinearGRPOLoss(
            beta=self.algorithm.preset.kl_coef,
            use_ref_model=self.algorithm.uses_reference,
            epsilon_low=given["epsilon"],
            epsilon_high=given["epsilon_high"],
            loss_type=given["loss_type"],
            importance_sampling_level=given["importance_sampling_level"],
            max_completion_length=self.max_completion_length,
            compiled=False,
        )

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        width = inputs["completion_ids"].shape[1]
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        states = model.model(input_ids=ids, attention_mask=mask, position_ids=positions).last_hidden_state
        loss, _ = self.fused(
            _input=states[:, -width - 1 : -1],
            lin_weight=model.lm_head.weight,
            selected_token_ids=inputs["completion_ids"],
            attention_mask=inputs["tool_mask"] * inputs["completion_mask"],
            advantages=inputs["advantages"],
            ref_per_token_logps=inputs.get("ref_per_token_logps"),
            old_per_token_logps=inputs.get("old_per_token_logps"),
        )
        return loss / self.current_gradient_accumulation_steps


def gradient(stand: Any) -> torch.Tensor:
    update = Update(stand, stand.algorithm, differs=False)
    ticks = dealt(stand, update, update.lessons(samples(), None, reused=False), 1)
    for batch in (one for tick in ticks for one in tick):
        update.loss(stand.model, batch).backward()
    return torch.cat([p.grad.flatten() for p in stand.model.parameters()])


@pytest.mark.parametrize("split", [{}, {"micro": 2, "ticks": 2}], ids=str)
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
    ours: Any = Stand(block, **split)
    ours.model, ours.reference = ours.model.float(), ours.reference.float()
    assert torch.allclose(gradient(LigerStand(block, **split)), gradient(ours), atol=1e-5, rtol=1e-4)


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

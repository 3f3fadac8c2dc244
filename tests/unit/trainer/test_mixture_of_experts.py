"""The load-balancing loss of a mixture of experts is part of an optimizer step, whatever its split."""

from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from grpo_plugin.algorithms.load_balance import router_of
from grpo_plugin.trainer.loss import PolicyLoss
from tests.unit.trainer.rollouts import MAX_LENGTH, Step, make_step, one_process, rollouts

COEFFICIENT = 0.5


def make_mixture() -> Qwen3MoeForCausalLM:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=64,
    )
    return Qwen3MoeForCausalLM(config)


def step_of(completions: int = 8, coefficient: float = COEFFICIENT) -> Step:
    step = make_step({"name": "grpo", "kl_coef": 0}, completions=completions, model=make_mixture())
    router = router_of(step.policy.model)
    assert router is not None
    step.policy.experts_per_token, step.policy.layout = router.experts_per_token, "padded"
    step.loss = PolicyLoss(
        step.policy,
        step.algorithm,
        step.kl_coef,
        step.metrics,
        correction=None,
        max_completion_length=MAX_LENGTH,
        balance_coef=coefficient,
    )
    return step


def gradient(step: Step, ranks: int = 1, accumulation_steps: int = 1) -> torch.Tensor:
    samples = step.builder.build(rollouts())
    for rank in range(ranks):
        step.policy.accelerator = one_process(rank, ranks)
        for share in step.builder.micro_batches(samples, 1, accumulation_steps):
            for batch in share:
                (step.loss(step.policy.model, batch) / ranks).backward()
    return torch.cat([p.grad.flatten() for p in step.policy.model.parameters() if p.grad is not None])


@pytest.mark.parametrize(
    "split", [{"completions": 1}, {"completions": 2, "accumulation_steps": 2}, {"completions": 3, "ranks": 2}], ids=str
)
def test_the_split_does_not_change_the_gradient(split: dict[str, Any]):
    whole = gradient(step_of())
    parts = gradient(step_of(split.pop("completions")), **split)
    assert torch.allclose(parts, whole, atol=1e-6, rtol=1e-5)


def test_it_is_logged_and_moves_the_router():
    with_loss, without = step_of(), step_of(coefficient=0.0)
    assert not torch.allclose(gradient(with_loss), gradient(without), atol=1e-4)
    logged = with_loss.metrics.drain()["aux_loss"]
    assert 2.0 <= logged < 4.0, "2 experts per token if all are used evenly, 4 if two take everything"

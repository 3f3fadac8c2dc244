"""The load-balancing loss by hand, against transformers', and over splits of a step."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from grpo_plugin.algorithms.load_balance import Router, balance_loss, router_of

LENGTHS = (3, 5, 1)


def logits_of(tokens: int = sum(LENGTHS), experts: int = 4, layers: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(tokens, experts, generator=generator, requires_grad=True) for _ in range(layers))


def test_by_hand() -> None:
    """Two tokens, two experts, one choice each: shares 1 and 0, probabilities 0.8 and 0.2 twice; 2 · 1 · 0.8."""
    logits = torch.tensor([[0.8, 0.2], [0.8, 0.2]]).log()
    assert balance_loss([logits], [2], 1).item() == pytest.approx(1.6)
    even = torch.tensor([[0.8, 0.2], [0.2, 0.8]]).log()
    assert balance_loss([even], [2], 1).item() == pytest.approx(1.0)


def test_one_sequence_is_transformers_value_and_gradient() -> None:
    for top_k in (1, 2):
        ours, theirs = logits_of(), logits_of()
        mine = balance_loss(ours, [sum(LENGTHS)], top_k)
        other = load_balancing_loss_func(theirs, 4, top_k)
        assert mine.item() == pytest.approx(other.item(), rel=1e-6)
        for a, b in zip(torch.autograd.grad(mine, ours), torch.autograd.grad(other, theirs), strict=True):
            assert torch.allclose(a, b, atol=1e-7)


def test_sequences_weigh_as_much_as_they_have_tokens() -> None:
    logits = logits_of()
    parts = [layer.split(LENGTHS) for layer in logits]
    alone = [load_balancing_loss_func(tuple(layer), 4, 2) for layer in zip(*parts, strict=True)]
    expected = sum(n * value.item() for n, value in zip(LENGTHS, alone, strict=True)) / sum(LENGTHS)
    assert balance_loss(logits, LENGTHS, 2).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("split", [[[0], [1], [2]], [[0, 2], [1]], [[2, 1, 0]]])
def test_any_split_into_micro_batches_sums_to_the_same(split: list[list[int]]) -> None:
    whole = logits_of()
    expected = torch.autograd.grad(balance_loss(whole, LENGTHS, 2), whole)
    logits = logits_of()
    parts = [layer.split(LENGTHS) for layer in logits]
    total = torch.zeros(())
    for members in split:
        batch = [torch.cat([layer[i] for i in members]) for layer in parts]
        total = total + balance_loss(batch, [LENGTHS[i] for i in members], 2, denominator=sum(LENGTHS))
    assert total.item() == pytest.approx(balance_loss(whole, LENGTHS, 2).item(), rel=1e-6)
    for ours, theirs in zip(torch.autograd.grad(total, logits), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)


def test_a_model_without_experts_has_no_such_loss() -> None:
    assert balance_loss((), [3], 2).item() == 0.0
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 8}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    assert router_of(Qwen2ForCausalLM(Qwen2Config(**small))) is None
    mixtral = MixtralForCausalLM(MixtralConfig(**small, num_local_experts=2, router_aux_loss_coef=0.02))
    assert router_of(mixtral) == Router(experts_per_token=2, coefficient=0.02)


def test_a_router_without_a_coefficient_has_that_of_trl() -> None:
    model: Any = SimpleNamespace(config=SimpleNamespace(output_router_logits=False), num_experts_per_tok=3)
    assert router_of(model) == Router(3, 0.001)

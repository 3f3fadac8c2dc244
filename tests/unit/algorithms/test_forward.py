"""Packed against padded, on every family of model: values and all gradients."""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from grpo_plugin.algorithms.attention import packed_attention
from grpo_plugin.algorithms.forward import completion_logprobs
from grpo_plugin.algorithms.packing import Packed, micro_batches, pack
from grpo_plugin.compat.packed_attention import install

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 16},
    "Gemma": {"head_dim": 8},
    "Gemma2": {"head_dim": 8, "sliding_window": 6, "final_logit_softcapping": 3.0},
    "Mistral": {"sliding_window": 6},
}
GENERATOR = torch.Generator().manual_seed(0)
PROMPT_MASK = torch.arange(7) >= torch.tensor([0, 3, 6, 2, 5]).unsqueeze(1)
COMPLETION_MASK = torch.arange(11) < torch.tensor([11, 1, 0, 7, 4]).unsqueeze(1)
PROMPTS = torch.randint(1, 97, (5, 7), generator=GENERATOR)
COMPLETIONS = torch.randint(1, 97, (5, 11), generator=GENERATOR)
TEMPERATURE = 0.7


def make_model(family: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SHAPE, **FAMILIES[family])
    return getattr(transformers, f"{family}ForCausalLM")._from_config(config, **settings).double().train()


def padded(model: Any) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, T) as TRL computes them."""
    mask = torch.cat([PROMPT_MASK, COMPLETION_MASK], dim=1)
    ids = torch.cat([PROMPTS, COMPLETIONS], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions).logits[:, 6:-1] / TEMPERATURE
    log_p = logits.log_softmax(-1)
    logps = log_p.gather(2, COMPLETIONS.unsqueeze(2)).squeeze(2)
    return tuple(torch.where(COMPLETION_MASK, x, 0.0) for x in (logps, -(log_p.exp() * log_p).sum(-1)))  # type: ignore[return-value]


def packed(model: Any, rows: slice | list[int] = slice(None)) -> tuple[Tensor, Tensor]:
    batch: Packed = pack(*(x[rows] for x in (PROMPTS, PROMPT_MASK, COMPLETIONS, COMPLETION_MASK)))
    return completion_logprobs(model, batch, temperature=TEMPERATURE, chunk=4)


def with_gradients(model: Any, logps: Tensor, entropies: Tensor) -> list[Tensor]:
    gradients = torch.autograd.grad(logps.square().sum() + entropies.sum(), list(model.parameters()))
    return [logps.detach(), entropies.detach(), *gradients]


def assert_close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [None, False, True], ids=["plain", "checkpointed", "reentrant"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_is_padded(family: str, checkpointing: bool | None) -> None:
    model = make_model(family)
    expected = with_gradients(model, *padded(model))
    assert install(model)
    if checkpointing is not None:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing})
    assert_close(backward(model, *packed(model)), expected)


def backward(model: Any, logps: Tensor, entropies: Tensor) -> list[Tensor]:
    """As `with_gradients`, but by `backward`, which reentrant checkpointing needs."""
    model.zero_grad()
    (logps.square().sum() + entropies.sum()).backward()
    return [logps.detach(), entropies.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("implementation", ["packed", "sdpa", "eager"])
@pytest.mark.parametrize("family", ["Llama", "Gemma2"])
def test_one_sequence_never_sees_another(family: str, implementation: str) -> None:
    """Also without packed attention, where transformers' own mask keeps them apart."""
    model = make_model(family, attn_implementation=implementation.replace("packed", "sdpa"))
    if implementation == "packed":
        install(model)
    together, _ = packed(model)
    for row in (0, 1, 3, 4):
        alone, _ = packed(model, [row])
        assert torch.allclose(together[row], alone[0], atol=1e-6)


def test_padded_batches_and_generation_go_on_as_before() -> None:
    model = make_model("Qwen2").eval()
    keywords: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    prompt = {"input_ids": PROMPTS, "attention_mask": PROMPT_MASK.long()}
    before = padded(model)[0], model.generate(**prompt, **keywords)
    install(model)
    after = padded(model)[0], model.generate(**prompt, **keywords)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_micro_batches_of_packed_sequences_sum_to_the_whole() -> None:
    model = make_model("Qwen2")
    install(model)
    lengths = (PROMPT_MASK.sum(1) + COMPLETION_MASK.sum(1)).tolist()
    expected = with_gradients(model, *packed(model))
    parts = [with_gradients(model, *packed(model, rows)) for rows in micro_batches(lengths, 20)]
    assert len(parts) > 1
    summed = [torch.stack(gradients).sum(0) for gradients in zip(*(part[2:] for part in parts), strict=True)]
    assert_close(summed, expected[2:])


def test_a_window_counts_the_token_itself() -> None:
    """Keys are one-hot and equal in score, so the output tells which of them were seen, averaged."""
    value = torch.eye(5).double().view(1, 1, 5, 5)
    zeros = torch.zeros(1, 1, 5, 5).double()
    seen = packed_attention(zeros, zeros, value, (2, 3), window=2)[0, 0]
    expected = [[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 0.5, 0.5]]
    assert torch.allclose(seen, torch.tensor(expected).double())

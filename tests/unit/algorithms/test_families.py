"""Every family of model against its own forward: the layout it takes, its log-probabilities and its gradients.

Tiny models with random weights, in fp32. Without the kernels of a GPU, layers with a state (linear attention, Mamba,
short convolutions) run on from one packed sequence into the next, and each sequence runs alone.
"""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from grpo_plugin.algorithms import layouts
from grpo_plugin.algorithms.forward import completion_logprobs
from grpo_plugin.algorithms.layout_choice import choose_layout
from grpo_plugin.algorithms.packing import Packed, pack
from grpo_plugin.compat.packed_attention import install

SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LINEAR: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "head_dim": 8,
}
MAMBA: dict[str, Any] = {
    "mamba_d_state": 8,
    "mamba_expand": 2,
    "mamba_d_head": 8,
    "mamba_n_heads": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LOCAL_EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
LOW_RANK: dict[str, Any] = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}

PACKED: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"sliding_window": 6},
    "Mixtral": LOCAL_EXPERTS,
    "Phi3": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Qwen3Moe": {**EXPERTS, "head_dim": 8},
    "Gemma2": {"head_dim": 8, "sliding_window": 6, "final_logit_softcapping": 3.0},
    "Gemma3Text": {"head_dim": 8, "sliding_window": 6, "final_logit_softcapping": 2.0},
    "Olmo": {},
    "Glm4": {"head_dim": 8},
    "DeepseekV3": {
        **LOW_RANK,
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    },
    "Cohere": {"logit_scale": 0.25},
    "Cohere2": {"logit_scale": 0.25, "sliding_window": 6},
    "Granite": {"logits_scaling": 4.0},
    "GraniteMoe": {**LOCAL_EXPERTS, "logits_scaling": 4.0},
    "MiniCPM3": {**LOW_RANK, "dim_model_base": 16},
    "HyperCLOVAX": {"logits_scaling": 0.5},
    "NanoChat": {"final_logit_softcapping": 3.0},
    "Olmoe": EXPERTS,
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "GPTNeoX": {},
}
PACKED_MASK: dict[str, dict[str, Any]] = {"StableLm": {}}  # passes no lengths on to its attention
ALONE: dict[str, dict[str, Any]] = {
    "Qwen3Next": {**LINEAR, **EXPERTS, "shared_expert_intermediate_size": 16},
    "Qwen3_5Text": LINEAR,
    "Lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "FalconH1": {**MAMBA, "mamba_d_ssm": 64, "head_dim": 8, "lm_head_multiplier": 0.5},
    "Bamba": {**MAMBA, "attn_layer_indices": [1]},
    "Jamba": {
        "num_experts": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "GraniteMoeHybrid": {
        **MAMBA,
        **LOCAL_EXPERTS,
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 32,
        "logits_scaling": 4.0,
    },
    "Mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 8},
    "NemotronH": {
        "layers_block_type": ["mamba", "attention", "mlp"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 1,
        "ssm_state_size": 8,
        "chunk_size": 8,
        "head_dim": 8,
        "use_mamba_kernels": False,
    },
    "MiniMax": {
        "layer_types": ["linear_attention", "full_attention"],
        "num_local_experts": 4,
        "head_dim": 8,
        "block_size": 8,
    },
    "Falcon": {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False},  # its mask takes no positions
    "GptOss": {**LOCAL_EXPERTS, "head_dim": 8, "sliding_window": 6},  # nor does this one's
    "Mamba": {"state_size": 8, "time_step_rank": 4},
    # its chunks are counted from the start of a row: wrong once a pack is longer than one
    "Llama4Text": {"num_local_experts": 4, "head_dim": 8, "attention_chunk_size": 64, "intermediate_size_mlp": 64},
    "RecurrentGemma": {"lru_width": 32, "block_types": ["recurrent", "attention"], "attention_window_size": 6},
    "Bloom": {"n_head": 4, "n_layer": 2},
}
CASES = [
    pytest.param(family, settings, layout, id=family)
    for layout, table in (("packed", PACKED), ("packed_mask", PACKED_MASK), ("alone", ALONE))
    for family, settings in table.items()
]

GENERATOR = torch.Generator().manual_seed(0)
LENGTHS, PROMPTS = (9, 13, 5), (3, 4, 2)
SEQUENCES = [torch.randint(3, 64, (length,), generator=GENERATOR) for length in LENGTHS]
SEQUENCES_AS_LISTS = [ids.tolist() for ids in SEQUENCES]
COEFFICIENTS = torch.randn(sum(LENGTHS) - sum(PROMPTS), generator=GENERATOR)


def make_model(family: str, settings: dict[str, Any]) -> Any:
    """Weights large enough that tokens matter to each other."""
    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **settings})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    install(model)
    return model


def packed_batch() -> Packed:
    rows = list(zip(SEQUENCES, PROMPTS, strict=True))
    prompts, completions = (
        nn.utils.rnn.pad_sequence(part, batch_first=True)
        for part in ([ids[:size] for ids, size in rows], [ids[size:] for ids, size in rows])
    )
    return pack(prompts, prompts > 0, completions, completions > 0)


def alone(model: Any) -> Tensor:
    """Log-probabilities (K,) of the completion tokens, by the model's own forward on each sequence."""
    found = []
    for ids, prompt in zip(SEQUENCES, PROMPTS, strict=True):
        log_p = model(input_ids=ids.unsqueeze(0)).logits[0].float().log_softmax(-1)
        found.append(log_p[prompt - 1 : -1].gather(1, ids[prompt:].unsqueeze(1)).squeeze(1))
    return torch.cat(found)


def gradients(model: Any, logps: Tensor) -> list[Tensor]:
    model.zero_grad()
    (logps * COEFFICIENTS).sum().backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(("family", "settings", "layout"), CASES)
def test_log_probabilities_and_gradients_are_the_models_own(family: str, settings: dict[str, Any], layout: str) -> None:
    model = make_model(family, settings)
    choice = choose_layout(model, SEQUENCES_AS_LISTS, tolerance=1e-4)
    assert (choice.layout, choice.note() is None) == (layout, layout == "packed"), choice
    if layout == "alone":  # and what it is spared would have been wrong
        assert all(isinstance(gap, str) or gap > 0.1 for gap in choice.passed_over.values())
    batch = packed_batch()
    values, _ = completion_logprobs(model, batch, layout=layout)
    logps, own = values[batch.rows, batch.columns], alone(model)
    assert torch.allclose(logps, own, rtol=0, atol=1e-4)
    for ours, theirs in zip(gradients(model, logps), gradients(model, own), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * max(1.0, theirs.abs().max().item()))


@pytest.mark.parametrize("family", ["RecurrentGemma", "Qwen3Next", "Lfm2", "Mamba2"])
def test_in_half_precision_no_leak_is_taken_for_noise(family: str) -> None:
    """RecurrentGemma's is as large as its noise, and was packed."""
    model = make_model(family, ALONE[family]).bfloat16()
    choice = choose_layout(model, SEQUENCES_AS_LISTS, tolerance=1.0)
    assert choice.layout == "alone" and set(choice.passed_over) == {"packed", "packed_varlen", "packed_mask"}
    assert all(isinstance(why, str) or why > 1 for why in choice.passed_over.values())
    assert choose_layout(make_model("Qwen2", PACKED["Qwen2"]).bfloat16(), SEQUENCES_AS_LISTS).layout == "packed"


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3Moe", "Qwen3Next", "Mamba2"])
def test_padded_and_alone_hold_for_every_family(family: str) -> None:
    model = make_model(family, {**PACKED, **ALONE}[family])
    batch = packed_batch()
    own = alone(model)
    for layout in ("alone", "padded"):
        values, _ = completion_logprobs(model, batch, layout=layout)
        assert torch.allclose(values[batch.rows, batch.columns], own, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("family", ["Mixtral", "GptOss"])
def test_router_logits_are_those_of_the_packed_tokens_in_every_layout(family: str, layout: str) -> None:
    if family == "GptOss" and layout.startswith("packed"):
        pytest.skip("its packed sequences see each other")
    model = make_model(family, {**PACKED, **ALONE}[family])
    batch = packed_batch()
    with torch.no_grad():
        found = layouts.run(model, batch, layout, routers=True).router_logits
        outputs = [model.base_model(input_ids=ids.unsqueeze(0), output_router_logits=True) for ids in SEQUENCES]
    expected = [torch.cat(layer) for layer in zip(*(output.router_logits for output in outputs), strict=True)]
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert layouts.run(model, batch, layout).router_logits == ()

"""A causal language model of transformers on packed sequences: hidden states, then log-probabilities.

Works on whatever has the shape of one (`base_model`, `get_output_embeddings()`, `config`); this module imports torch
alone. Attention stays within each sequence by one of three ways, by the model's attention implementation:

| `config._attn_implementation` | how |
|---|---|
| `packed_sdpa` (`compat.packed_attention.install`) | one fused call per sequence |
| `flash_attention_*` | varlen kernel, from the cumulative lengths |
| any other | transformers' block-diagonal mask, from the position ids; N² memory |
"""

from typing import Any

from torch import Tensor, nn

from grpo_plugin.algorithms.heads import head_logprobs
from grpo_plugin.algorithms.packing import Packed, Predicted

PACKED_SDPA = "packed_sdpa"


def completion_logprobs(
    model: nn.Module, packed: Packed, *, temperature: float = 1.0, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, T) of the completion tokens, 0 where none was asked for.

    Args:
        model: an unwrapped `…ForCausalLM`; call this inside the wrapper's forward (DDP, FSDP, DeepSpeed).
        packed: what to run; must hold at least one token.
        temperature: of sampling.
        chunk: tokens per chunk of the output head, see `logprobs.token_logprobs`.
    """
    return states_logprobs(model, packed, completion_states(model, packed), temperature=temperature, chunk=chunk)


def states_logprobs(
    model: nn.Module, batch: Predicted, states: Tensor, *, temperature: float = 1.0, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """As `completion_logprobs`, from the hidden states (K, H) that predict the tokens of a batch of any layout."""
    logps, entropies = head_logprobs(
        output_head(model), states, batch.targets, temperature=temperature, softcap=softcap(model), chunk=chunk
    )
    return batch.unpack(logps), batch.unpack(entropies)


def completion_states(model: nn.Module, packed: Packed) -> Tensor:
    """Hidden states (K, H) that predict the completion tokens."""
    return hidden_states(model, packed)[packed.sources]


def output_head(model: nn.Module) -> nn.Module:
    """What maps hidden states to logits."""
    head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    return head


def softcap(model: nn.Module) -> float | None:
    """The cap on the model's logits, if it has one (Gemma 2)."""
    cap: float | None = getattr(model.config, "final_logit_softcapping", None)
    return cap


def hidden_states(model: nn.Module, packed: Packed) -> Tensor:
    """Last hidden states (N, H) of the packed tokens."""
    config: Any = model.config
    backbone: Any = model.base_model
    output = backbone(
        input_ids=packed.input_ids,
        position_ids=packed.position_ids,
        use_cache=False,
        **_attention_arguments(config._attn_implementation, packed),
    )
    states: Tensor = output.last_hidden_state[0]
    return states


def _attention_arguments(implementation: str, packed: Packed) -> dict[str, Any]:
    if implementation == PACKED_SDPA:
        # A mask of four dimensions is taken as it is: none is built, and packed attention needs none.
        return {"attention_mask": packed.input_ids.new_ones(1, 1, 1, 1).bool(), "packed_lengths": packed.lengths}
    if implementation.startswith("flash_attention"):
        longest = max(packed.lengths)
        return {
            "cu_seq_lens_q": packed.cu_seqlens,
            "cu_seq_lens_k": packed.cu_seqlens,
            "max_length_q": longest,
            "max_length_k": longest,
        }
    return {}

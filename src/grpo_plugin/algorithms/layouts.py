"""How several sequences run through a causal language model: end to end, one by one, or padded to a rectangle.

Every layout computes the same hidden states where the model's layers keep packed sequences apart. Attention layers do,
by their mask or kernel; layers with a state (linear attention, Mamba, short convolutions) may carry state from one
sequence into the next. `layout_choice.choose_layout` finds out which layouts hold for a model.

| layout | how | cost |
|---|---|---|
| packed | end to end, one pass; attention sequence by sequence, where its implementation can | none |
| packed_varlen | the same, with bounds for layers whose kernels take them (`seq_idx`, `cu_seq_lens_q`) | none |
| packed_mask | end to end, one pass; attention by transformers' block-diagonal mask | N² of memory and work |
| alone | one pass for each sequence | short sequences leave the device idle |
| padded | one pass over a rectangle, padded on the right, with a mask | work on padding |

N packed tokens, S sequences, H hidden size, E experts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms.packing import Packed

PACKED_SDPA = "packed_sdpa"  # the attention implementation of `compat.packed_attention`


class States(NamedTuple):
    """What a pass gives of the packed tokens, whatever the layout.

    Attributes:
        hidden: (N, H) last hidden states.
        router_logits: (N, E) of each mixture-of-experts layer; empty where none were requested, or there are none.
    """

    hidden: Tensor
    router_logits: tuple[Tensor, ...] = ()


def run(model: nn.Module, packed: Packed, layout: str = "packed", *, routers: bool = False) -> States:
    """The hidden states of packed sequences.

    Args:
        model: an unwrapped `…ForCausalLM`; call this inside the wrapper's forward (DDP, FSDP, DeepSpeed). With weights
            that are shared over ranks, all ranks must run as many passes: `alone` takes one for each sequence.
        layout: one of `LAYOUTS`.
        routers: return the router logits, too.

    Raises:
        KeyError: unknown layout.
    """
    return LAYOUTS[layout](model, packed, {"output_router_logits": True} if routers else {})


def packed_states(model: nn.Module, packed: Packed, extra: dict[str, Any]) -> States:
    """All sequences in one pass; attention layers keep them apart."""
    config: Any = model.config
    return packed_mask_states(model, packed, {**_attention_arguments(config._attn_implementation, packed), **extra})


def packed_mask_states(model: nn.Module, packed: Packed, extra: dict[str, Any]) -> States:
    """All sequences in one pass; transformers finds their bounds in the position ids and builds a mask of all pairs."""
    output = _backbone(model, packed.input_ids, position_ids=packed.position_ids, **extra)
    return States(output.last_hidden_state[0], _routers(output))


def packed_varlen_states(model: nn.Module, packed: Packed, extra: dict[str, Any]) -> States:
    """As `packed_states`, with the bounds of the sequences for layers that have a state."""
    lengths = torch.tensor(packed.lengths, device=packed.input_ids.device)
    sequences = torch.arange(len(packed.lengths), device=lengths.device, dtype=torch.int32)
    bounds = {"seq_idx": sequences.repeat_interleave(lengths).unsqueeze(0), **_flash_arguments(packed)}
    return packed_states(model, packed, {**bounds, **extra})


def alone_states(model: nn.Module, packed: Packed, extra: dict[str, Any]) -> States:
    """A pass for each sequence, as if there were no other."""
    outputs = [_backbone(model, ids, **extra) for ids in packed.input_ids.split(list(packed.lengths), dim=1)]
    layers = zip(*(_routers(output) for output in outputs), strict=True)
    return States(
        torch.cat([output.last_hidden_state[0] for output in outputs]), tuple(torch.cat(layer) for layer in layers)
    )


def padded_states(model: nn.Module, packed: Packed, extra: dict[str, Any]) -> States:
    """The sequences below each other, padded on the right."""
    sequences = packed.input_ids[0].split(list(packed.lengths))
    ids = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    lengths = torch.tensor(packed.lengths, device=ids.device).unsqueeze(1)
    mask = torch.arange(ids.shape[1], device=ids.device) < lengths
    output = _backbone(model, ids, attention_mask=mask.long(), **extra)
    return States(output.last_hidden_state[mask], tuple(layer[mask.flatten()] for layer in _routers(output)))


LAYOUTS: dict[str, Callable[[nn.Module, Packed, dict[str, Any]], States]] = {
    "packed": packed_states,
    "packed_varlen": packed_varlen_states,
    "packed_mask": packed_mask_states,
    "alone": alone_states,
    "padded": padded_states,
}


def _backbone(model: nn.Module, ids: Tensor, **arguments: Any) -> Any:
    backbone: Any = model.base_model
    if backbone is model:  # Llama 4's text model names no such part
        backbone = model.model
    return backbone(input_ids=ids, use_cache=False, **arguments)


def _routers(output: Any) -> tuple[Tensor, ...]:
    """The router logits of each layer, one row for each token of the pass."""
    logits: Sequence[Tensor] = getattr(output, "router_logits", None) or ()
    return tuple(layer.reshape(-1, layer.shape[-1]) for layer in logits)


def _attention_arguments(implementation: str, packed: Packed) -> dict[str, Any]:
    """What keeps packed sequences apart in attention, by the model's attention implementation.

    `packed_sdpa` runs one fused call per sequence, `flash_attention_*` a kernel for cumulative lengths. Any other gets
    nothing: transformers builds a block-diagonal mask from the position ids, N² in memory.
    """
    if implementation == PACKED_SDPA:
        # A mask of four dimensions is taken as it is: none is built, and packed attention needs none.
        return {"attention_mask": packed.input_ids.new_ones(1, 1, 1, 1).bool(), "packed_lengths": packed.lengths}
    return _flash_arguments(packed) if implementation.startswith("flash_attention") else {}


def _flash_arguments(packed: Packed) -> dict[str, Any]:
    longest = max(packed.lengths)
    return {
        "cu_seq_lens_q": packed.cu_seqlens,
        "cu_seq_lens_k": packed.cu_seqlens,
        "max_length_q": longest,
        "max_length_k": longest,
    }

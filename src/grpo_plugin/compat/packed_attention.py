"""`packed_sdpa`: PyTorch's attention, kept within each sequence of a packed batch.

Without flash-attention, transformers 5.16 keeps packed sequences apart by a mask over all pairs of packed tokens: N² in
memory and work. This registers, through transformers' own `AttentionInterface`, an implementation that attends sequence
by sequence. It can go when transformers' `sdpa` does that by itself.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from grpo_plugin.algorithms.attention import packed_attention
from grpo_plugin.algorithms.layouts import PACKED_SDPA


def install(model: PreTrainedModel) -> bool:
    """Let the model attend by `packed_sdpa`, if it attends by `sdpa` now; whether it does afterwards.

    Padded batches and generation go on as before. A model that attends otherwise (eager, flash-attention) keeps to it.
    """
    AttentionInterface.register(PACKED_SDPA, _forward)
    AttentionMaskInterface.register(PACKED_SDPA, sdpa_mask)
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(PACKED_SDPA)
    return model.config._attn_implementation == PACKED_SDPA


def _forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packed_lengths: tuple[int, ...] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if packed_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    attended = packed_attention(
        query, key, value, packed_lengths, scaling=scaling, window=sliding_window, dropout=dropout
    )
    return attended.transpose(1, 2).contiguous(), None

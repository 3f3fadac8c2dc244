"""Samples side by side, for models that cannot take them packed: those whose positions depend on images (M-RoPE)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grpo_plugin.algorithms.packing import Predicted
from grpo_plugin.trainer.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Padded(Predicted):
    """Prompts padded on the left, completions on the right: P + T tokens in each row.

    Attributes:
        inputs: of the model without its head: `input_ids` and `attention_mask` (B or more, P + T), and pixels.
        width: P.
    """

    inputs: Mapping[str, Tensor]
    width: int

    def states(self, model: Any) -> Tensor:
        """Hidden states (K, H) that predict the completion tokens, by an unwrapped model of transformers."""
        hidden = model.base_model(**self.inputs, use_cache=False).last_hidden_state
        company: Tensor = 0.0 * hidden[self.shape[0] :].sum()  # rows that are there for their gradient's sake
        return hidden[self.rows, self.columns + self.width - 1] + company


def pad(
    samples: Sequence[Sample],
    mask: Tensor,
    pixels: Mapping[str, Any],
    *,
    company: Sequence[Sequence[int]] = (),
) -> Padded:
    """Samples with what an image processor made of their images.

    Args:
        mask: (B, T), true on the tokens whose log-probabilities are needed.
        pixels: further inputs; `mm_token_type_ids` are those of the prompts, and of `company`.
        company: prompts of rows below the samples', whose states are not used.
    """
    device = mask.device
    prompts = [*(sample.prompt_ids for sample in samples), *company]
    completions = [*(sample.completion_ids for sample in samples), *([] for _ in company)]
    width = max(map(len, prompts))
    rows, columns = mask.nonzero(as_tuple=True)

    def joined(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> Tensor:
        places = torch.zeros(len(left), width + mask.shape[1], dtype=torch.long)
        for row, (before, after) in enumerate(zip(left, right, strict=True)):
            places[row, width - len(before) : width] = torch.as_tensor(before, dtype=torch.long)
            places[row, width : width + len(after)] = torch.as_tensor(after, dtype=torch.long)
        return places.to(device)

    input_ids = joined(prompts, completions)
    real = joined([[1] * len(ids) for ids in prompts], [[1] * len(ids) for ids in completions])
    inputs = {name: value.to(device) for name, value in pixels.items() if isinstance(value, Tensor)}
    if "mm_token_type_ids" in pixels:
        inputs["mm_token_type_ids"] = joined(pixels["mm_token_type_ids"], [[] for _ in prompts])
    return Padded(
        inputs={"input_ids": input_ids, "attention_mask": real, **inputs},
        width=width,
        targets=input_ids[rows, width + columns],
        rows=rows,
        columns=columns,
        shape=(mask.shape[0], mask.shape[1]),
    )

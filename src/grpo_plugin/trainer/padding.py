"""Rollouts as padded rows, for models whose positions depend on images (M-RoPE) and that cannot take them packed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grpo_plugin.algorithms.packing import Predicted
from grpo_plugin.trainer.rollout import Rollout


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
        dummies: Tensor = 0.0 * hidden[self.shape[0] :].sum()  # so that their gradient, 0, reaches the vision tower
        return hidden[self.rows, self.columns + self.width - 1] + dummies


def pad(
    rollouts: Sequence[Rollout],
    mask: Tensor,
    pixels: Mapping[str, Any],
    *,
    dummies: Sequence[Sequence[int]] = (),
) -> Padded:
    """Rollouts with what an image processor made of their images.

    Args:
        mask: (B, T), true on the tokens whose log-probabilities are needed.
        pixels: further inputs; `mm_token_type_ids` are those of the prompts, and of `dummies`.
        dummies: prompts of rows below the rollouts', run so that every rank joins the collective.
    """
    device = mask.device
    prompts = [*(rollout.prompt_ids for rollout in rollouts), *dummies]
    completions = [*(rollout.completion_ids for rollout in rollouts), *([] for _ in dummies)]
    width = max(map(len, prompts))
    rows, columns = mask.nonzero(as_tuple=True)

    def joined(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> Tensor:
        places = torch.zeros(len(left), width + mask.shape[1], dtype=torch.long)
        for row, (before, after) in enumerate(zip(left, right, strict=True)):
            places[row, width - len(before) : width] = torch.as_tensor(before, dtype=torch.long)
            places[row, width : width + len(after)] = torch.as_tensor(after, dtype=torch.long)
        return places.to(device)

    input_ids = joined(prompts, completions)
    attention_mask = joined([[1] * len(ids) for ids in prompts], [[1] * len(ids) for ids in completions])
    inputs = {name: value.to(device) for name, value in pixels.items() if isinstance(value, Tensor)}
    if "mm_token_type_ids" in pixels:
        inputs["mm_token_type_ids"] = joined(pixels["mm_token_type_ids"], [[] for _ in prompts])
    return Padded(
        inputs={"input_ids": input_ids, "attention_mask": attention_mask, **inputs},
        width=width,
        targets=input_ids[rows, width + columns],
        rows=rows,
        columns=columns,
        shape=(mask.shape[0], mask.shape[1]),
    )

"""The average over per-token losses: a weight for every token, so that any split of a step sums to the same."""

import torch
from torch import Tensor

from grpo_plugin.errors import RecipeError

AVERAGES = ("token", "sequence", "constant")


def token_weights(
    mask: Tensor, average: str, *, denominator: Tensor | float | None = None, constant: float | None = None
) -> Tensor:
    """Weights (B, T), 0 outside the mask; the loss is the weighted sum of the per-token losses.

    | average | weight of a token | `denominator`, if not given |
    |---|---|---|
    | token | 1 / denominator (DAPO) | tokens in the mask |
    | sequence | 1 / (tokens of its completion × denominator) (GRPO) | B |
    | constant | 1 / (constant × denominator) (Dr. GRPO) | B |

    The gradient of an optimizer step does not depend on its split into micro-batches and processes if `denominator`
    counts the whole step: tokens, or completions, of all micro-batches and processes. Gradients are then summed; where
    they are averaged over W processes, pass denominator / W.

    Raises:
        RecipeError: unknown average, or no constant for `constant`.
    """
    weights = mask.to(torch.get_default_dtype() if mask.dtype == torch.bool else mask.dtype)
    completions = max(mask.shape[0], 1)
    if average == "token":
        return weights / (weights.sum().clamp(min=1.0) if denominator is None else denominator)
    if average == "sequence":
        per_completion = weights / weights.sum(1, keepdim=True).clamp(min=1.0)
        return per_completion / (completions if denominator is None else denominator)
    if average != "constant":
        raise RecipeError(f"algorithm.loss_average: unknown average {average!r}; known are {', '.join(AVERAGES)}.")
    if not constant or constant < 0:
        raise RecipeError(f"algorithm.loss_average: 'constant' needs a positive constant, got {constant!r}.")
    return weights / (constant * (completions if denominator is None else denominator))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of the mask, 0 if there are none; values (B, 1) stand for every token of their row."""
    chosen = torch.where(mask, values, 0.0)
    return chosen.sum() / mask.sum().clamp(min=1)

"""Completions that ran out of tokens: leave them out of the loss, or punish them by degrees."""

from torch import Tensor

from grpo_plugin.errors import RecipeError


def mask_truncated(mask: Tensor, truncated: Tensor) -> Tensor:
    """The mask (B, T) without the truncated completions; `truncated` (B,) is what the sampler's finish reason says."""
    return mask.bool() & ~truncated.unsqueeze(1)


def soft_penalty(lengths: Tensor, max_length: int, buffer: int) -> Tensor:
    """Reward between 0 and −1 for each completion (B,), DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13).

    0 up to `max_length` − `buffer` tokens, then falling on a straight line to −1 at `max_length`.

    Raises:
        RecipeError: a buffer outside 1 … max_length.
    """
    if not 1 <= buffer <= max_length:
        raise RecipeError(
            f"algorithm.overlong_buffer: {buffer} tokens; choose 1 to {max_length}, the longest completion."
        )
    return ((max_length - buffer - lengths) / buffer).clamp(-1.0, 0.0)

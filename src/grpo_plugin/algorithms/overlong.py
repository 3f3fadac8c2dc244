"""DAPO's soft penalty on completions near the length limit. No torch here: rewards use it, too."""

from grpo_plugin.errors import RecipeError


def soft_penalty(length: int, max_length: int, buffer: int) -> float:
    """Reward from 0 to −1 for a completion of `length` tokens (arXiv 2503.14476, eq. 13).

    0 up to `max_length` − `buffer` tokens, then falling on a straight line to −1 at `max_length`; −1 beyond.

    Raises:
        RecipeError: a buffer outside 1 … max_length.
    """
    if not 1 <= buffer <= max_length:
        raise RecipeError(
            f"overlong buffer: {buffer} tokens; choose 1 to {max_length}, the length at which the penalty is whole."
        )
    return max(-1.0, min(0.0, (max_length - buffer - length) / buffer))

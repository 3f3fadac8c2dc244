"""Prompt and completion must fit what vLLM was told to hold: `vllm.max_model_len`."""

from grpo_plugin.errors import RecipeError

COMPLETION = 256  # TRL's default of max_completion_length


def model_length(max_length: int | None, completion: int, max_model_len: int | None) -> int | None:
    """The `vllm.max_model_len` to serve with, before any data is loaded: as set, else what the two limits add up to.

    Args:
        max_length: `prompts.max_length`; with None nothing follows, and vLLM takes the model's own length.
        completion: `trl.max_completion_length`.
        max_model_len: as the recipe has it.

    Raises:
        RecipeError: a max_model_len that the limits overrun.
    """
    if max_length is None:
        return max_model_len
    needed = max_length + completion
    if max_model_len is not None and max_model_len < needed:
        raise RecipeError(
            f"vllm.max_model_len: {max_model_len} tokens cannot hold prompts.max_length {max_length} and "
            f"trl.max_completion_length {completion}; raise it to {needed}, or lower one of the two."
        )
    return max_model_len or needed


def check_longest(longest: int | None, completion: int, max_model_len: int | None) -> None:
    """Hold the longest prompt found in the data against the same limit.

    Raises:
        RecipeError: a prompt whose completion would be cut off or refused.
    """
    if longest is not None and max_model_len is not None and longest + completion > max_model_len:
        raise RecipeError(
            f"vllm.max_model_len: {max_model_len} tokens cannot hold the longest prompt of the data ({longest}) and "
            f"trl.max_completion_length {completion}; raise it to {longest + completion}, or set prompts.max_length to "
            f"{max(1, max_model_len - completion)}."
        )

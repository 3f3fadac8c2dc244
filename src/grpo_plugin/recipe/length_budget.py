"""Prompt and completion must fit what vLLM was told to hold: `vllm.max_model_len`."""

from typing import Any

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


def check_longest(longest: int | None, completion: int, max_model_len: int | None, positions: int | None) -> None:
    """Hold the longest prompt found in the data against the same limit.

    Args:
        longest: tokens; None if nothing was measured.
        max_model_len: what vLLM is started with; without it vLLM takes the model's own positions.
        positions: the model's own; None where they are not known.

    Raises:
        RecipeError: a prompt whose completion would be cut off or refused.
    """
    limit = max_model_len or positions
    if longest is None or limit is None or longest + completion <= limit:
        return
    if max_model_len:
        what, remedy = f"vllm.max_model_len: {limit} tokens", f"raise it to {longest + completion}, or set"
    else:
        what, remedy = f"base_model: its {limit} positions", "set"
    raise RecipeError(
        f"{what} cannot hold the longest prompt of the data ({longest}) and trl.max_completion_length {completion}; "
        f"{remedy} prompts.max_length to {max(1, limit - completion)}."
    )


def positions(config: Any) -> int | None:
    """The tokens a model was made for, as vLLM reads them off its configuration; None if they are scaled, or not said.

    Args:
        config: of transformers.
    """
    text = config.get_text_config()
    scaling = getattr(text, "rope_parameters", None) or {}
    scaled = scaling.get("rope_type", "default") != "default"
    return None if scaled else getattr(text, "max_position_embeddings", None)

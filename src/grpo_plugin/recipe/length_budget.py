"""Prompt and completion must fit what vLLM serves (`vllm.max_model_len`) and what the model was made for."""

from collections.abc import Mapping
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.positions import positions
from grpo_plugin.recipe.recipe import Recipe

COMPLETION = 256  # TRL's default of max_completion_length


def model_length(max_length: int | None, completion: int, max_model_len: int | None) -> int | None:
    """The `vllm.max_model_len` to serve with, before any data is loaded: as set, else the sum of the two limits.

    Args:
        max_length: `prompts.max_length`, tokens; if it is None, the result is max_model_len.
        completion: `trl.max_completion_length`, tokens.
        max_model_len: as the recipe has it; None means the model's own positions.

    Raises:
        RecipeError: max_model_len is smaller than the sum.
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


def check_longest_prompt(recipe: Recipe, longest: int | None, config: Mapping[str, Any] | None) -> None:
    """Refuse data whose longest prompt and completion are over what vLLM serves, or over the model's positions.

    A server that runs elsewhere (`rollout.url`) has limits that are not known here.

    Args:
        longest: tokens of the longest prompt; None if nothing was measured.
        config: the model's configuration as in config.json; None if it is not known.

    Raises:
        RecipeError: a prompt whose completion would be cut off or refused.
    """
    if recipe.uses_vllm and not recipe.serves:
        return
    completion = longest_answer(recipe.values)
    limit_of_vllm = None
    if recipe.serves and recipe.prompts is not None:
        limit_of_vllm = model_length(recipe.prompts.max_length, completion, recipe.vllm.get("max_model_len"))
    args = recipe.rollout.args if recipe.rollout and recipe.serves else ()
    limit = limit_of_vllm or (positions(config, args) if config is not None else None)
    if longest is None or limit is None or longest + completion <= limit:
        return
    what, remedy = f"base_model: its {limit} positions", "set"
    if limit_of_vllm:
        what, remedy = f"vllm.max_model_len: {limit} tokens", f"raise it to {longest + completion}, or set"
    raise RecipeError(
        f"{what} cannot hold the longest prompt of the data ({longest}) and {_source(recipe)} {completion}; "
        f"{remedy} prompts.max_length to {max(1, limit - completion)}."
    )


def sequence_limit(recipe: Recipe, config: Mapping[str, Any], *, serves: bool) -> int | None:
    """Tokens that a prompt and all that follows it may have; None where neither model nor server has a known limit.

    Args:
        config: the model's configuration as in config.json.
        serves: whether a vLLM server is started for the recipe, whose `max_model_len` counts too.
    """
    limits = [positions(config, recipe.rollout.args if recipe.rollout and serves else ())]
    if serves:
        prompt = recipe.prompts.max_length if recipe.prompts else None
        limits.append(model_length(prompt, longest_answer(recipe.values), recipe.vllm.get("max_model_len")))
    return min((limit for limit in limits if limit), default=None)


def longest_completion(recipe: Recipe) -> int:
    """Tokens of the longest completion: `trl.max_completion_length`."""
    return int(recipe.trl.get("max_completion_length") or COMPLETION)


def longest_answer(values: Mapping[str, Any]) -> int:
    """Tokens of the longest completion that vLLM is asked for: in training, or for a set of held-out prompts."""
    trl, validation = (values.get(block) or {} for block in ("trl", "validation"))
    blocks = (validation, *(validation.get("sets") or {}).values())
    return max(
        int(trl.get("max_completion_length") or COMPLETION), *(int(one.get("max_tokens") or 0) for one in blocks)
    )


def _source(recipe: Recipe) -> str:
    """The key that gives the longest completion."""
    return "trl.max_completion_length" if longest_answer(recipe.values) == longest_completion(recipe) else "max_tokens"

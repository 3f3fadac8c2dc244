"""The prompts of a recipe, measured with the tokenizer and processor of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.loading import PromptData, load
from grpo_plugin.prompts.wording import empty_prompt
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.length_budget import check_longest_prompt
from grpo_plugin.recipe.positions import with_overrides

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, ProcessorMixin


def load_recipe_prompts(
    recipe: Recipe, cfg: Any, *, tools: list[dict[str, Any]] | None = None, empty_rows: int = 0
) -> tuple[PromptData, ProcessorMixin | None]:
    """The data of the `prompts:` block, and the processor that turns its images into pixels, if it has any.

    Args:
        cfg: Axolotl's validated configuration.
        tools: that stand in every prompt, for its length.
        empty_rows: how many rows to train on where the environment makes the prompts; each has an empty one.

    Raises:
        DataError: bad data, with row numbers.
        RecipeError: images for a model that takes none; prompts too long for vLLM or for the model.
    """
    from axolotl.loaders import load_tokenizer

    if recipe.prompts is None:
        return PromptData(_empty(empty_rows), {}, ("prompt",), None, ()), None
    tokenizer = load_tokenizer(cfg)
    processor = _processor(cfg, tokenizer) if recipe.prompts.shows_images else None
    prompts = load(
        recipe.prompts,
        base_dir=recipe.folder,
        seed=int(cfg.seed or 0),
        tokenizer=tokenizer,
        processor=processor,
        template_kwargs={**(recipe.trl.get("chat_template_kwargs") or {}), **({"tools": tools} if tools else {})},
    )
    check_longest_prompt(recipe, prompts.longest, _model_config(recipe, cfg))
    if recipe.makes_prompts:
        prompts = replace(prompts, train=_empty(empty_rows), columns=("prompt",))
    return prompts, processor


def _empty(rows: int) -> Dataset:
    """Rows whose prompt is an empty message of the user, which an environment's observation is appended to."""
    from datasets import Dataset

    return Dataset.from_dict({"prompt": [empty_prompt(None)] * rows})


def _model_config(recipe: Recipe, cfg: Any) -> dict[str, Any] | None:
    """The model's configuration as it generates; None for vLLM where the trainer's differs from the model's own."""
    from axolotl.loaders.utils import load_model_config

    if recipe.uses_vllm and cfg.overrides_of_model_config:
        return None
    config: dict[str, Any] = load_model_config(cfg).to_dict()
    return with_overrides(config, cfg.overrides_of_model_config or {})


def _processor(cfg: Any, tokenizer: PreTrainedTokenizerBase) -> ProcessorMixin:
    from axolotl.loaders import load_processor

    if not cfg.is_multimodal:
        raise RecipeError(
            f"prompts.image_key: {cfg.base_model!r} takes no images; name a Qwen2-VL, Qwen2.5-VL or Qwen3-VL model as "
            "base_model, or remove the key."
        )
    try:
        processor: ProcessorMixin = load_processor(cfg, tokenizer)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"prompts.image_key: the processor of {cfg.base_model!r} cannot be loaded ({reason}); "
            "pip install torchvision, in the build that belongs to this torch."
        ) from error
    if not (hasattr(processor, "image_token_id") and hasattr(processor.image_processor, "merge_size")):
        raise RecipeError(
            f"prompts.image_key: {type(processor).__name__} of {cfg.base_model!r} is of another kind than the ones "
            "trained here; name a Qwen2-VL, Qwen2.5-VL or Qwen3-VL model as base_model."
        )
    return processor

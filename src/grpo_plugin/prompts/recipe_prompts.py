"""The prompts of a run, worded and measured with the tokenizer and processor that its model brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.loading import PromptData, load
from grpo_plugin.recipe.length_budget import COMPLETION, check_longest, model_length, positions
from grpo_plugin.recipe.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin


def load_recipe_prompts(recipe: Recipe, cfg: Any) -> tuple[PromptData, ProcessorMixin | None]:
    """The data of the `prompts:` block, and the processor that turns its images into pixels, if it has any.

    Args:
        cfg: Axolotl's validated configuration.

    Raises:
        DataError: bad data, with row numbers.
        RecipeError: images for a model that takes none; prompts too long for vLLM.
    """
    from axolotl.loaders import load_tokenizer
    from axolotl.loaders.utils import load_model_config

    assert recipe.prompts is not None
    tokenizer = load_tokenizer(cfg)
    processor = _processor(cfg, tokenizer) if recipe.prompts.image_key else None
    prompts = load(
        recipe.prompts,
        base_dir=recipe.folder,
        seed=int(cfg.seed or 0),
        tokenizer=tokenizer,
        processor=processor,
        template_kwargs=recipe.trl.get("chat_template_kwargs"),
    )
    if recipe.serves:
        completion = int(recipe.trl.get("max_completion_length") or COMPLETION)
        served = model_length(recipe.prompts.max_length, completion, recipe.vllm.get("max_model_len"))
        own = None if cfg.overrides_of_model_config else positions(load_model_config(cfg))
        check_longest(prompts.longest, completion, served, own)
    return prompts, processor


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

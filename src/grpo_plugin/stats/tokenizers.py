"""The tokenizer that a run would use, loaded in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.images import image_tokens
from grpo_plugin.prompts.lengths import ChatCounter
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.stats.request import Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# With one of these keys Axolotl changes the tokenizer, and only its own loader gives the tokenizer of the run.
CHANGES = frozenset(
    {"chat_template", "chat_template_jinja", "special_tokens", "tokens", "added_tokens_overrides", "tokenizer_type"}
    | {"tokenizer_use_fast", "tokenizer_legacy", "tokenizer_use_mistral_common", "default_system_message"}
    | {"revision_of_model", "trust_remote_code"}
)


def measures(request: Request) -> dict[str, Measure]:
    """One measure for each tokenizer of the request, by its name.

    Raises:
        RecipeError: a tokenizer that cannot be loaded, or a recipe that names no model.
    """
    kwargs = request.trl.get("chat_template_kwargs")
    if request.tokenizers:
        return {name: _measure(name, _from_pretrained(name), request, kwargs) for name in request.tokenizers}
    name = request.recipe.get("tokenizer_config") or request.recipe.get("base_model")
    if not name:
        raise RecipeError("base_model: the recipe names none, so there is no tokenizer; add it, or use --tokenizer.")
    changed = CHANGES & {key for key, value in request.recipe.items() if value}
    tokenizer = _as_axolotl(request.recipe) if changed else _from_pretrained(name)
    return {name: _measure(name, tokenizer, request, kwargs)}


def _measure(
    name: str, tokenizer: PreTrainedTokenizerBase, request: Request, kwargs: Mapping[str, Any] | None
) -> Measure:
    processor = _processor(name) if request.config.image_key else None
    of_images = image_tokens(processor)
    if processor is not None and of_images is None:
        raise RecipeError(
            f"prompts.image_key: {name!r} comes without an image processor, so the tokens of images are unknown; "
            "name a vision model, or leave the images out."
        )
    return Measure("stats", ChatCounter(tokenizer, kwargs, getattr(processor, "chat_template", None)), of_images)


def _from_pretrained(name: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise RecipeError(_cannot_load("tokenizer", name, error)) from error


def _processor(name: str) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise RecipeError(_cannot_load("processor", name, error)) from error


def _cannot_load(what: str, name: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return f"{what}: {name!r} cannot be loaded ({reason}); check the name, the folder and the network."


def _as_axolotl(recipe: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    from axolotl.loaders import load_tokenizer
    from axolotl.utils.dict import DictDefault

    values = DictDefault(recipe)
    values.tokenizer_config = values.tokenizer_config or values.base_model
    return load_tokenizer(values)

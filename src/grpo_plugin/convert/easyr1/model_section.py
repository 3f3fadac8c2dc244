"""EasyR1's `worker.actor.model`: the model, its adapter, and what of it is trained."""

from grpo_plugin.convert.easyr1.data_section import has_images
from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.errors import RecipeError

_MODEL, _LORA = "worker.actor.model", "worker.actor.model.lora"


def model(draft: Draft) -> None:
    """Model, adapter, and what of it is trained.

    Raises:
        RecipeError: there is no model.
    """
    source = draft.source
    if not source[f"{_MODEL}.model_path"]:
        raise RecipeError("worker.actor.model.model_path: missing; name a model, in the file or on the command line.")
    draft.move(f"{_MODEL}.model_path", "base_model")
    draft.move(f"{_MODEL}.tokenizer_path", "tokenizer_config")
    draft.put("trust_remote_code", source[f"{_MODEL}.trust_remote_code"] or None, f"{_MODEL}.trust_remote_code")
    overrides = f"{_MODEL}.override_config"
    draft.put("overrides_of_model_config", source.mapping(overrides) or None, *source.under(overrides))
    draft.put("processor_type", "AutoProcessor" if has_images(draft) else None, note="the model reads images")
    draft.put("freeze_mm_modules", source[f"{_MODEL}.freeze_vision_tower"] or None, f"{_MODEL}.freeze_vision_tower")
    if source[f"{_LORA}.rank"] > 0:
        _adapter(draft)
    else:
        draft.drop(f"{_LORA}.rank", "rank 0: the whole model is trained", same_at=0)
        for key in ("alpha", "target_modules", "exclude_modules"):
            draft.drop(f"{_LORA}.{key}", "rank 0: the whole model is trained")


def _adapter(draft: Draft) -> None:
    draft.put("adapter", "lora", f"{_LORA}.rank")
    draft.move(f"{_LORA}.rank", "lora_r")
    draft.move(f"{_LORA}.alpha", "lora_alpha")
    draft.put("lora_dropout", 0.0, note="PEFT's default in EasyR1")
    _targets(draft)


def _targets(draft: Draft) -> None:
    targets, excluded = draft.source[f"{_LORA}.target_modules"].strip(), draft.source[f"{_LORA}.exclude_modules"]
    if targets != "all-linear":
        names = [name.strip() for name in targets.split(",") if name.strip()]
        draft.put("lora_target_modules", names, f"{_LORA}.target_modules")
        reason = "Axolotl has no such key; target_modules names what is adapted"
        draft.drop(f"{_LORA}.exclude_modules", reason, same_at=None)
    elif has_images(draft) and excluded:
        text = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
        draft.put("lora_target_modules", text, f"{_LORA}.target_modules", f"{_LORA}.exclude_modules")
    else:
        draft.put("lora_target_linear", True, f"{_LORA}.target_modules")
        draft.drop(f"{_LORA}.exclude_modules", "the model has nothing to exclude", same_at=None)

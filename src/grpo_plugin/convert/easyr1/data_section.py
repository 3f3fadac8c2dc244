"""EasyR1's `data` section: `prompts:` and the lengths."""

import re
from pathlib import PurePath

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.sources import FORMATS

# EasyR1's example templates and our equivalents.
_TEMPLATES = {
    "math": "recipes/prompts/math.jinja",
    "r1v": "recipes/prompts/r1v.jinja",
    "dapo": "recipes/prompts/dapo.jinja",
    "android_gui": "recipes/prompts/number_game.jinja",
}
_VISION = re.compile(r"VL|Vision|llava|gemma-3|InternVL|Pixtral", re.IGNORECASE)


def prompts(draft: Draft) -> None:
    """Sources, keys, wording, lengths, images.

    Raises:
        RecipeError: no training data.
    """
    if not draft.source["data.train_files"]:
        raise RecipeError("data.train_files: missing; name the training data, such as user/name@train or rows.jsonl.")
    _sources(draft, "data.train_files", "prompts.train")
    _sources(draft, "data.val_files", "prompts.validation")
    draft.move("data.prompt_key", "prompts.prompt_key")
    draft.move("data.answer_key", "prompts.answer_key")
    draft.put("prompts.system", draft.source["data.system_prompt"] or None, "data.system_prompt")
    draft.put("prompts.template", _template(draft.source["data.format_prompt"]), "data.format_prompt")
    draft.move("data.max_prompt_length", "prompts.max_length")
    dropped = draft.source["data.filter_overlong_prompts"]
    draft.put("prompts.overlong", "drop" if dropped else "error", "data.filter_overlong_prompts")
    draft.move("data.seed", "seed")
    template = draft.source["data.override_chat_template"]
    draft.put("chat_template", "jinja" if template else None, "data.override_chat_template")
    draft.put("chat_template_jinja", template, "data.override_chat_template")
    _images(draft)
    _left(draft)


def has_images(draft: Draft) -> bool:
    """Whether the model, or a limit on images, says that prompts have them; EasyR1 looks into the data instead."""
    model, limit = draft.source["worker.actor.model.model_path"], draft.source["worker.rollout.limit_images"]
    return bool(limit) or bool(_VISION.search(str(model)))


def _sources(draft: Draft, origin: str, key: str) -> None:
    """One source or several. A file keeps no split: EasyR1 knows only `train` for one, and that is all of it."""
    value = draft.source[origin]
    names = value if isinstance(value, list) else [value] if value else []
    files = [name for name in names if "@" in name and _is_local(name.partition("@")[0])]
    note = f"; a file is read whole, so @{files[0].partition('@')[2]} is dropped" if files else ""
    named = [_source(name) for name in names]
    draft.put(key, named if len(named) > 1 else named[0] if named else None, origin, note=note)


def _source(words: str) -> str:
    """`name@split` as here; a hub name without a split means train."""
    name, _, split = words.partition("@")
    return name if _is_local(name) else f"{name}@{split or 'train'}"


def _is_local(name: str) -> bool:
    return name.startswith((".", "/", "~")) or PurePath(name).suffix in FORMATS


def _template(path: str | None) -> str | None:
    if not path:
        return None
    name = PurePath(path).stem.removesuffix("_format")
    return _TEMPLATES[name] if "examples/format_prompt" in path and name in _TEMPLATES else path


def _images(draft: Draft) -> None:
    keys = {
        "data.image_key": "prompts.image_key",
        "data.min_pixels": "prompts.min_pixels",
        "data.max_pixels": "prompts.max_pixels",
    }
    for origin, key in keys.items():
        if has_images(draft):
            draft.move(origin, key)
        else:
            draft.drop(origin, "the model reads text alone")
    reason = "image paths are looked up beside the data; put or link the images there"
    draft.drop("data.image_dir", reason, same_at=None)


def _left(draft: Draft) -> None:
    filtering = draft.source["algorithm.online_filtering"]
    rounds = "a round of dynamic sampling samples what is still missing" if filtering else "a batch is sampled at once"
    draft.drop("data.mini_rollout_batch_size", rounds, same_at=None)
    stored = "rows are always taken in an order that seed and step decide, never as stored"
    draft.drop("data.shuffle", stored, same_at=True)
    draft.drop("data.video_key", "videos are not trained on here")
    draft.drop("data.video_fps", "videos are not trained on here")
    draft.drop("data.val_batch_size", "vLLM takes all held-out prompts and batches them itself")
    draft.drop("data.filter_overlong_prompts_workers", "prompts are measured in parallel by default")

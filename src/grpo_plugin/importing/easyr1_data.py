"""EasyR1's `data` section: `prompts:` and the lengths."""

import re
from pathlib import PurePath

from grpo_plugin.importing.draft import Draft

# EasyR1's example templates and ours to the same effect.
_TEMPLATES = {
    "math.jinja": "recipes/prompts/math.jinja",
    "r1v.jinja": "recipes/prompts/r1v.jinja",
    "dapo.jinja": "recipes/prompts/dapo.jinja",
    "android_gui.jinja": "recipes/prompts/number_game.jinja",
}
_VISION = re.compile(r"VL|Vision|llava|gemma-3|InternVL|Pixtral", re.IGNORECASE)


def prompts(draft: Draft) -> None:
    """Sources, keys, wording, lengths, images."""
    draft.put("prompts.train", _source(draft, "data.train_files"), "data.train_files")
    if draft.source["data.val_files"]:
        draft.put("prompts.validation", _source(draft, "data.val_files"), "data.val_files")
    draft.move("data.prompt_key", "prompts.prompt_key")
    draft.move("data.answer_key", "prompts.answer_key")
    draft.put("prompts.template", _template(draft.source["data.format_prompt"]), "data.format_prompt")
    draft.move("data.max_prompt_length", "prompts.max_length")
    dropped = draft.source["data.filter_overlong_prompts"]
    draft.put("prompts.overlong", "drop" if dropped else "error", "data.filter_overlong_prompts")
    draft.move("data.seed", "seed")
    _images(draft)
    _left(draft)


def has_images(draft: Draft) -> bool:
    """Whether the model, or a limit on images, says that prompts have them; EasyR1 looks into the data instead."""
    model, limit = draft.source["worker.actor.model.model_path"], draft.source["worker.rollout.limit_images"]
    return bool(limit) or bool(_VISION.search(str(model)))


def _source(draft: Draft, key: str) -> str:
    """`name@split` as here; a hub name without a split means train, and local files have no splits here."""
    name, _, split = str(draft.source[key]).partition("@")
    local = name.startswith((".", "/", "~")) or PurePath(name).suffix in (".json", ".jsonl", ".csv", ".parquet")
    return name if local else f"{name}@{split or 'train'}"


def _template(path: str | None) -> str | None:
    if path is None:
        return None
    name = PurePath(path).name
    return _TEMPLATES[name] if "examples/format_prompt" in path and name in _TEMPLATES else path


def _images(draft: Draft) -> None:
    keys = {"data.image_key": "prompts.image_key", "data.min_pixels": "prompts.min_pixels"}
    keys["data.max_pixels"] = "prompts.max_pixels"
    for origin, key in keys.items():
        if has_images(draft):
            draft.move(origin, key)
        else:
            draft.leave(origin, "the model reads text alone")
    if draft.source["data.image_dir"]:
        draft.leave("data.image_dir", "image paths are looked up beside the data; put or link the images there")
    else:
        draft.leave("data.image_dir", "unset")


def _left(draft: Draft) -> None:
    template = draft.source["data.override_chat_template"]
    if template:
        draft.put("chat_template", "jinja", "data.override_chat_template")
        draft.put("chat_template_jinja", template, "data.override_chat_template")
    draft.leave("data.video_key", "videos are not trained on here")
    draft.leave("data.video_fps", "videos are not trained on here")
    draft.leave("data.val_batch_size", "vLLM takes all held-out prompts and batches them itself")
    draft.leave("data.filter_overlong_prompts_workers", "prompts are measured in parallel by default")
    if draft.source["data.shuffle"]:
        draft.leave("data.shuffle", "rows are always drawn in an order that seed and step decide")
    else:
        draft.leave("data.shuffle", "rows are always drawn in an order that seed and step decide, never as stored")
    if draft.source["algorithm.online_filtering"]:
        draft.leave("data.mini_rollout_batch_size", "each round of dynamic sampling asks for what is still missing")
    else:
        draft.leave("data.mini_rollout_batch_size", "a rollout batch is generated at once")

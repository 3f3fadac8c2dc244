"""Going on from a checkpoint: which one, with how many steps left, and whether the recipe is still the same.

A checkpoint keeps the recipe that it was saved with. What decides the model, the prompts and their order, the rewards,
the algorithm and the optimizer must be the same; the rest may change, and the run says what did.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grpo_plugin.errors import RecipeError
from grpo_plugin.files import atomic_write
from grpo_plugin.recipe import checkpoints
from grpo_plugin.recipe.recipe import Recipe
from grpo_plugin.recipe.secrets import without_secrets
from grpo_plugin.recipe.yaml_file import read_yaml_mapping

RECIPE = "recipe.yaml"

# Blocks that decide what is trained on what, and the keys in them that do not.
FIXED_BLOCKS: dict[str, set[str]] = {
    "prompts": {"validation"},
    "rewards": {"workers", "timeout", "batch_timeout", "memory_gb", "on_error", "max_failed"},
    "algorithm": {"tokens_per_micro_batch"},
    "trl": {"use_vllm", "log_completions", "num_completions_to_print", "log_unique_prompts"},
    "deepspeed": set(),
    "fsdp_config": set(),
    "optim_args": set(),
    "lr_scheduler_kwargs": set(),
    "overrides_of_model_config": set(),
    "special_tokens": set(),
}
FIXED_KEYS = {
    *("base_model", "revision_of_model", "adapter", "chat_template", "chat_template_jinja", "load_in_4bit"),
    *("load_in_8bit", "unfrozen_parameters", "seed", "learning_rate", "optimizer", "lr_scheduler", "warmup_steps"),
    *("warmup_ratio", "weight_decay", "max_grad_norm", "adam_beta1", "adam_beta2", "adam_epsilon", "embedding_lr"),
    *("bf16", "fp16", "bfloat16", "float16", "fsdp", "fsdp_version", "cosine_min_lr_ratio", "cosine_constant_lr_ratio"),
}
FIXED_PREFIXES = ("lora_", "peft_", "loraplus_")
# Where a run is started from and how, which says nothing about its training; `rollout.env` is not kept.
UNSAID = {"axolotl_config_path", "base", "resume_from_checkpoint", "auto_resume_from_checkpoints", "rollout.env"}
LONGEST = 60  # characters of a value in a sentence


@dataclass(frozen=True)
class Resumption:
    """Where a run goes on from, None for the beginning; and what the user should know about it, in sentences."""

    checkpoint: Path | None
    notes: list[str]


def resumption(recipe: Recipe) -> Resumption:
    """Choose and check the checkpoint that a run of `recipe` goes on from.

    Raises:
        RecipeError: the checkpoint is missing or incomplete, has no optimizer's state, is at the last step already, or
            was saved with another recipe.
    """
    checkpoint, sentence = checkpoints.resume(recipe.values, recipe.output_dir)
    notes = [sentence] if sentence else []
    if checkpoint is None:
        return Resumption(None, notes)
    check_steps_left(step_of(checkpoint), recipe.values.get("max_steps"), checkpoint)
    if (before := recipe_values(checkpoint)) is None:
        return Resumption(checkpoint, notes)
    if before.get("save_only_model"):
        raise RecipeError(
            f"resume_from_checkpoint: {checkpoint} has a model alone, as it was saved with save_only_model: true; "
            f"start a new run from it: base_model: {checkpoint}."
        )
    _refuse_changes(before, recipe.values, checkpoint)
    changed = [f"{key} was {_shown(old)} and is {_shown(new)}" for key, old, new in _changes(before, recipe.values)]
    return Resumption(
        checkpoint, [*notes, *([f"changed since {checkpoint.name}: {'; '.join(changed)}"] * bool(changed))]
    )


def check_steps_left(step: int, last: int | None, checkpoint: Path | str, key: str = "max_steps") -> None:
    """Refuse a run whose checkpoint is at its last step: transformers would train one more.

    Args:
        last: the step at which the run ends; None or 0 where that is not known yet.

    Raises:
        RecipeError: no step is left.
    """
    if last and 0 < last <= step:
        raise RecipeError(
            f"{key}: the run ends at step {last}, and {checkpoint} is at step {step} already, so nothing is left to "
            f"train; raise {key}, or take the model with `axolotl grpo export {checkpoint} --out DIR`."
        )


def step_of(checkpoint: Path) -> int:
    """The optimizer steps done; the folder may have another name than transformers gave it."""
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return int(state.get("global_step") or 0)


def write_recipe(recipe: Recipe, checkpoint: Path) -> None:
    """Keep the recipe in a checkpoint, merged and with the command line's overrides; without `rollout.env` and
    without secrets."""
    values = without_secrets(_plain(recipe.values))
    (values.get("rollout") or {}).pop("env", None)
    if path := values.get("axolotl_config_path"):
        values["axolotl_config_path"] = str(Path(path).absolute())
    with atomic_write(checkpoint / RECIPE) as file:
        file.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def recipe_values(checkpoint: Path) -> dict[str, Any] | None:
    """The recipe that a checkpoint was saved with; None for a checkpoint without one."""
    path = checkpoint / RECIPE
    return read_yaml_mapping(path, "recipe") if path.is_file() else None


def _refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> None:
    wrong = [f"{key} {_shown(old)} (now {_shown(new)})" for key, old, new in _changes(before, now, wanted=_is_fixed)]
    if wrong:
        raise RecipeError(
            f"resume_from_checkpoint: {checkpoint} was saved with {'; '.join(wrong)}, which a run that goes on must "
            "keep; set it back, or start a new run from its weights: "
            f"`axolotl grpo export {checkpoint} --out DIR`, then base_model: DIR and another output_dir."
        )


def _is_fixed(key: str) -> bool:
    block, _, inner = key.partition(".")
    if block in FIXED_BLOCKS:
        return inner not in FIXED_BLOCKS[block]
    return block in FIXED_KEYS or block.startswith(FIXED_PREFIXES)


def _changes(
    before: Mapping[str, Any], now: Mapping[str, Any], wanted: Any = lambda key: True
) -> Iterator[tuple[str, Any, Any]]:
    """The keys with another value, as `block.key`, with both values; None and a missing key are the same.

    Secrets are not compared, as the checkpoint does not have them.
    """
    old, new = _flat(before), _flat(now)
    for key in dict.fromkeys([*old, *new]):
        if key not in UNSAID and wanted(key) and old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and the keys of blocks, which are one level deep; a block that is not given is as one without keys."""
    flat: dict[str, Any] = {}
    for key, value in without_secrets(_plain(values)).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return flat


def _plain(value: Any) -> Any:
    """Mappings and sequences as dict and list, what YAML does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _shown(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"

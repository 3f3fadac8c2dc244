"""What trackers get beside the metrics: our blocks of the recipe, answers to held-out prompts, the curve."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.compat import tracker_names
from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.console.examples import Example
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.secrets import without_secrets

COLUMNS = ["prompt", "gold", "before training", "reward before", "now", "reward now"]


class TrackerCallback(TrainerCallback):
    """On the main process, after transformers' own callbacks have begun their runs.

    Args:
        examples: returns the held-out prompts whose answers are logged after each validation.
    """

    def __init__(self, recipe: Recipe, examples: Callable[[], Sequence[Example]]) -> None:
        tracker_names.install()
        self._recipe, self._examples = recipe, examples

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if wandb := _running(args, state, "wandb"):
            wandb.config.update(blocks(self._recipe), allow_val_change=True)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """After a validation: the same few prompts, with their answers before training and now."""
        wandb = _running(args, state, "wandb")
        if not wandb or not logs or "time/validation" not in logs:
            return
        if rows := [table_row(example) for example in self._examples()]:
            table = wandb.Table(columns=COLUMNS, data=rows)
            wandb.log({"eval/answers": table, "train/global_step": state.global_step})


def log_curve(args: TrainingArguments, state: TrainerState, curve: Path) -> None:
    """Give Weights & Biases the curve of the run, if there is one."""
    wandb = _running(args, state, "wandb")
    if wandb and curve.is_file():
        wandb.log({"curve": wandb.Image(str(curve)), "train/global_step": state.global_step})


def blocks(recipe: Recipe) -> dict[str, Any]:
    """Our blocks as the recipe has them, with their defaults; without `rollout.env` and without secrets."""
    found = {name: getattr(recipe, name) for name in BLOCKS}
    given = {name: block.model_dump(mode="json") for name, block in found.items() if block is not None}
    given.get("rollout", {}).pop("env", None)
    plain: dict[str, Any] = without_secrets(given)
    return plain


def table_row(example: Example) -> list[Any]:
    before = example.before
    earlier = [None, None] if before is None else [before.text, before.reward]
    return [example.prompt, example.answer, *earlier, example.after.text, example.after.reward]


def _running(args: TrainingArguments, state: TrainerState, name: str) -> Any:
    """The module of a tracker whose run this process has begun; None otherwise."""
    module = sys.modules.get(name) if name in (args.report_to or ()) and state.is_world_process_zero else None
    return module if module is not None and module.run is not None else None

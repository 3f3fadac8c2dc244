"""What trackers get beside the metrics: our blocks of the recipe, answers to held-out prompts, the curve."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback

from grpo_plugin.compat import tracker_names, trackio_init
from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.console.examples import Example
from grpo_plugin.console.tracker_tables import ANSWERS, TRACKERS, Tracker, markdown
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.secrets import without_secrets

COLUMNS = ["prompt", "gold", "before training", "reward before", "now", "reward now"]


class TrackerCallback(TrainerCallback):
    """On the main process, after transformers' own callbacks have begun their runs.

    Args:
        examples: returns the held-out prompts whose answers are logged after each validation.
        others: the trainer's callbacks, of which TensorBoard's has the open log.
    """

    def __init__(
        self,
        recipe: Recipe,
        examples: Callable[[], Sequence[Example]],
        others: Sequence[TrainerCallback] = (),
    ) -> None:
        tracker_names.install()
        trackio_init.install()
        self._recipe, self._examples, self._others = recipe, examples, others

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for name, module, _ in _running(args, state):
            if name == "wandb":
                with _spared(name, "recipe"):
                    module.config.update(blocks(self._recipe), allow_val_change=True)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """After a validation: the same few prompts, with their answers before training and now."""
        if not state.is_world_process_zero or not logs or "time/validation" not in logs:
            return
        rows = [table_row(example) for example in self._examples()]
        if not rows:
            return
        for name, module, tracker in _running(args, state):
            with _spared(name, "table of answers"):
                tracker.table(module, COLUMNS, rows, state.global_step)
        for callback in self._others:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
                with _spared("TensorBoard", "table of answers"):
                    callback.tb_writer.add_text(ANSWERS, markdown(COLUMNS, rows), state.global_step)


def log_curve(args: TrainingArguments, state: TrainerState, curve: Path) -> None:
    """Give the curve of the run, if there is one, to the trackers that take pictures."""
    for name, module, tracker in _running(args, state) if curve.is_file() else ():
        if tracker.curve is not None:
            with _spared(name, "curve"):
                tracker.curve(module, curve, state.global_step)


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


@contextmanager
def _spared(tracker: str, what: str) -> Iterator[None]:
    """What a tracker does not take beside the metrics is a line of debug.log; it does not end the run."""
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).warning("%s did not take the %s: %r", tracker, what, error)


def _running(args: TrainingArguments, state: TrainerState) -> Iterator[tuple[str, Any, Tracker]]:
    """Name, module and ways of each tracker whose run this process has begun."""
    for name, tracker in TRACKERS.items() if state.is_world_process_zero else ():
        module = sys.modules.get(name)
        asked = tracker.report_to is None or tracker.report_to in (args.report_to or ())
        if module is not None and asked and _runs(name, module, tracker):
            yield name, module, tracker


def _runs(name: str, module: Any, tracker: Tracker) -> bool:
    """Whether the tracker has begun a run; one that cannot say has none."""
    with _spared(name, "question whether it runs"):
        return bool(tracker.running(module))
    return False

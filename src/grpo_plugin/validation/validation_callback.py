"""The trainer callback that decides when to validate, when to keep a checkpoint, and when to stop."""

import sys
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.validation.best import BestSoFar


class ValidationCallback(TrainerCallback):
    """Decides when to validate; every process has one.

    `validate(step)` is called before the first step. From then on it requests transformers' own evaluation, which comes
    after the step's log line and before its checkpoint, while trackers still listen: the trainer's `evaluate()` is
    expected to validate as well.

    Args:
        every: optimizer steps between two validations; None for none in between.
        best: what `validate` and `evaluate()` feed; None where the recipe names no best metric.
        end: called where `validation.only` has the run end after its validation.
        note: shows the user one line.
    """

    def __init__(
        self,
        config: ValidationConfig,
        validate: Callable[[int], object],
        every: int | None = None,
        best: BestSoFar | None = None,
        end: Callable[[], object] = sys.exit,
        note: Callable[[str], object] = print,
    ) -> None:
        self.config = config
        self.validate = validate
        self.every = every
        self.best = best
        self.end = end
        self.note = note
        self._last: int | None = None  # the step of the last validation

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.config.only or (self.config.before_train and state.global_step == 0):
            self.validate(state.global_step)
            self._last = state.global_step
        if self.config.only:
            self.end()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        due = self.every is not None and state.global_step % self.every == 0
        ends = state.global_step >= state.max_steps or control.should_training_stop
        if due or (ends and self.config.after_train):
            control.should_evaluate = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._last = state.global_step
        if self.best is None:
            return
        if self.best.step == state.global_step:
            control.should_save = True
        if self.config.patience and self.best.waited >= self.config.patience:
            control.should_training_stop = True
            if state.is_world_process_zero:
                self.note(f"validation.patience: training ends here, for {self.best.sentence()}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A run that ended in another way than by its steps."""
        if self.config.after_train and self._last != state.global_step:
            self.validate(state.global_step)

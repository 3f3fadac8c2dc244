"""The trainer callback that decides when to validate."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.config.validation import ValidationConfig


class ValidationCallback(TrainerCallback):
    """Decides when to validate; every process has one.

    `validate(step)` is called before the first and after the last step. In between it requests transformers' own
    evaluation, which comes after the step's log line: the trainer's `evaluate()` is expected to validate as well.
    """

    def __init__(self, config: ValidationConfig, validate: Callable[[int], object]) -> None:
        self.config = config
        self.validate = validate
        self._last: int | None = None  # the step of the last validation requested

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.config.before_train and state.global_step == 0:
            self.validate(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.config.every and state.global_step % self.config.every == 0:
            control.should_evaluate = True
            self._last = state.global_step

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.config.after_train and self._last != state.global_step:
            self.validate(state.global_step)

"""Thin callbacks between transformers' trainer and the screen and validation of this package."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.validation.screen import Screen


class ScreenCallback(TrainerCallback):
    """Shows the run of the main process; the other processes stay silent."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self.screen.begin(state.max_steps, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.screen.advance(state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Only a training step has a reward; evaluations and the closing summary of transformers have none.
        if state.is_world_process_zero and logs and "reward" in logs:
            self.screen.row(state.global_step, logs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self.screen.finish()


class ValidationCallback(TrainerCallback):
    """Decides when to validate; every process has one.

    `validate(step)` is called before the first and after the last step. In between it asks for transformers' own
    evaluation, which comes after the step's log line and feeds `metric_for_best_model`: the trainer's `evaluate()`
    is expected to validate as well.
    """

    def __init__(self, config: ValidationConfig, validate: Callable[[int], object]) -> None:
        self.config = config
        self.validate = validate
        self._judged: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.config.before_train and state.global_step == 0:
            self.validate(0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.config.every and state.global_step % self.config.every == 0:
            control.should_evaluate = True
            self._judged = state.global_step

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # The best checkpoint is another policy than the one that was judged at the last step.
        judged = self._judged == state.global_step and not args.load_best_model_at_end
        if self.config.after_train and not judged:
            self.validate(state.global_step)

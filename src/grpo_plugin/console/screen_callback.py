"""The trainer callback that shows steps and progress on the screen."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.console.log_columns import without_signal
from grpo_plugin.console.screen import Screen


class ScreenCallback(TrainerCallback):
    """Shows the run on the main process; does nothing on the others."""

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
            if sentence := without_signal(logs):
                self.screen.note(f"step {state.global_step}: {sentence}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self.screen.finish()

"""What the trainer does when training begins, and at its last step."""

from typing import Any

from transformers import TrainerCallback


class BeginCallback(TrainerCallback):
    """Calls a function when training begins."""

    def __init__(self, begin: Any) -> None:
        self._begin = begin

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._begin()


class LastStepCallback(TrainerCallback):
    """Logs the last step, too, where it is not one of every `logging_steps`."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True

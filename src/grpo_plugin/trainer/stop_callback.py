"""Ends a run that a scheduler takes its machine from: after the optimizer step in hand, with a checkpoint."""

import signal
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.session import Session


class StopCallback(TrainerCallback):
    """Looks after each optimizer step whether the launcher asks to stop; every process has one. Collective.

    Args:
        on_stop: called with the name of the signal once the checkpoint is saved, before the process ends.
    """

    def __init__(self, session: Session, accelerator: Accelerator, on_stop: Callable[[str], None]) -> None:
        self._session, self._accelerator, self._on_stop = session, accelerator, on_stop
        self._signal = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._session.report_can_save()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._signal = self._asked()
        if self._signal:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False  # it may take longer than there is time

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not self._signal:
            return
        self._accelerator.wait_for_everyone()  # the first rank to end takes the others with it
        self._on_stop(signal.Signals(self._signal).name)
        raise SystemExit(128 + self._signal)

    def _asked(self) -> int:
        """The signal's number on every rank, if the launcher of any machine asks."""
        asked = self._session.asked_to_stop
        if self._accelerator.num_processes == 1:
            return asked
        numbers = self._accelerator.gather(torch.tensor([asked], device=self._accelerator.device))
        return int(numbers.max().item())

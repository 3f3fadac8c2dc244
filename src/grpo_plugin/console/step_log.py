"""The trainer callback that keeps the figures of each logged step in `metrics.jsonl`, and shows alarms."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grpo_plugin.config.alarms import Alarms
from grpo_plugin.console import run_facts
from grpo_plugin.console.alarms.detector import Detector
from grpo_plugin.console.json_lines import ALARMS, METRICS, JsonLines
from grpo_plugin.console.screen import Screen
from grpo_plugin.recipe import Recipe


class StepLog(TrainerCallback):
    """Writes `run.json`, `metrics.jsonl` and `alarms.jsonl` on the main process; does nothing on the others.

    A resumed run goes on with the files: rows of steps that it repeats are removed, and the alarms know the rest.
    """

    def __init__(self, recipe: Recipe, screen: Screen, processes: int, now: Callable[[], float] = time.time) -> None:
        config = recipe.algorithm.alarms if recipe.algorithm is not None else Alarms()
        self._recipe, self._screen, self._processes, self._now = recipe, screen, processes, now
        self._metrics = JsonLines(recipe.output_dir / METRICS)
        self._alarms = JsonLines(recipe.output_dir / ALARMS)
        self._detector = Detector(config) if config else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        run_facts.write(self._recipe, self._processes, state.global_step)
        self._alarms.keep_until(state.global_step)
        for row in self._metrics.keep_until(state.global_step):
            if self._detector is not None:
                self._detector.observe(row)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Only a training step has a loss; evaluations and the closing summary of transformers have none.
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        row = {**logs, "step": state.global_step, "time": round(self._now(), 3)}
        self._metrics.append(row)
        for alarm in self._detector.observe(row) if self._detector is not None else []:
            self._alarms.append(vars(alarm))
            self._screen.note(str(alarm))

"""What is seen of a batch: its metrics, and every generation in the log."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object

from grpo_plugin.algorithms.groups import signal
from grpo_plugin.rollout.generation_log import Generations
from grpo_plugin.trainer.sample import Sample, none_if_nan, rewards_of
from grpo_plugin.trainer.update import Lesson

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

Draw = Callable[[list[int]], list[Sample]]


class Observer:
    """Sees all that was drawn for a batch, kept or not."""

    def __init__(self, trainer: "PolicyTrainer") -> None:
        self.trainer = trainer
        self._drawn: list[Sample] = []
        self._batches: list[dict[str, float]] = [{}]  # the figures of each since they were last asked for

    def watched(self, draw: Draw) -> Draw:
        """The same draw, remembered until `record`."""

        def watched(rows: list[int]) -> list[Sample]:
            samples = draw(rows)
            self._drawn += samples
            return samples

        return watched

    def record(self, lessons: Sequence[Lesson]) -> None:
        """Log the figures of what was drawn, and keep it with the advantages that the lessons give. Collective."""
        drawn, self._drawn = self._drawn, []
        self._batches.append({})
        self._metrics()
        for name, value in self.trainer.rollouts.metrics.items():
            self._add(name, value)
        if drawn:
            self._figures(drawn)
        if self.trainer.accelerator.is_main_process and drawn:
            self._keep(drawn, {id(lesson.sample): lesson.advantages.mean().item() for lesson in lessons})

    def figures(self) -> dict[str, float]:
        """Means over the batches since the last call; those of the last batch where a step goes on training on it."""
        batches = self._batches[1:] or self._batches
        self._batches = self._batches[-1:]
        names = dict.fromkeys(name for batch in batches for name in batch)
        return {name: _mean([batch[name] for batch in batches if name in batch]) for name in names}

    def state(self) -> dict[str, float]:
        """The figures of the batch in hand."""
        return self._batches[-1]

    def restore(self, state: dict[str, float]) -> None:
        self._batches = [state]

    def _figures(self, drawn: list[Sample]) -> None:
        rewards = rewards_of(drawn)
        scores = torch.tensor([sample.scores for sample in drawn], dtype=torch.float64)
        for name, column in zip(self.trainer.reward_func_names, scores.T, strict=True):
            self._add(f"rewards/{name}/mean", column.nanmean().item())
            self._add(f"rewards/{name}/std", _deviation(column))
        self._add("reward", rewards.nanmean().item())
        self._add("reward_std", _deviation(rewards))
        shares = signal(rewards, self.trainer.num_generations, tolerance=self.trainer.algorithm.config.tolerance)
        for name, share in shares._asdict().items():
            self._add(f"groups/{name}", share)
        if self.trainer.update.kl_coef:
            self._add("kl_coef", self.trainer.update.kl_coef)

    def _metrics(self) -> None:
        """What TRL and the canary counted, and what reward functions logged through `log_metric`, over all ranks."""
        for name, values in self.trainer._metrics["train"].items():
            self._add(name, _mean(values))
        self.trainer._metrics["train"].clear()
        pending, columns = self.trainer._pending_metrics, self.trainer._pending_extra_logs
        mine = {name: sum(values) / len(values) for name, values in pending.items()}
        pending.clear()
        columns.clear()
        parts = gather_object([mine])
        for name in sorted({name for part in parts for name in part}):
            found = [part[name] for part in parts if name in part]
            self._add(name, _mean(found))

    def _add(self, name: str, value: float) -> None:
        self._batches[-1][name] = value

    def _keep(self, drawn: list[Sample], advantages: dict[int, float]) -> None:
        names = self.trainer.reward_func_names
        trainer = self.trainer
        trainer.run_.generation_log.write(
            trainer.state.global_step + 1,
            Generations(
                prompts=[sample.prompt for sample in drawn],
                completions=[sample.completion for sample in drawn],
                rewards=[none_if_nan(sample.reward) for sample in drawn],
                functions={name: [none_if_nan(sample.scores[i]) for sample in drawn] for i, name in enumerate(names)},
                finish_reasons=[sample.finish_reason for sample in drawn],
                temperature=trainer.temperature,
                policy_version=drawn[-1].version,
                advantages=[advantages.get(id(sample)) for sample in drawn],
                answers=[sample.answer for sample in drawn],
                score_seconds=[sample.score_seconds for sample in drawn],
            ),
        )


def _mean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _deviation(values: torch.Tensor) -> float:
    present = values[~values.isnan()]
    return present.std().item() if len(present) > 1 else math.nan

"""From prompts to the rollouts of one batch; with dynamic sampling, refilled until its groups carry a signal."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from grpo_plugin.algorithms.groups import informative
from grpo_plugin.config.algorithm import DynamicSampling
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout import Rollout, rewards_of

Group = list[Rollout]
LOWEST_RATE = 0.25  # of groups with a signal; the next round asks for at most 1 / this times what is missing


@dataclass(frozen=True)
class RolloutBatch:
    """The rollouts to train on, and all that were generated for them.

    Attributes:
        rollouts: to train on, groups side by side.
        generated: every rollout generated for this batch: trained on, dropped, or kept for a later one.
        metrics: of dynamic sampling, by name.
    """

    rollouts: list[Rollout]
    generated: list[Rollout]
    metrics: dict[str, float] = field(default_factory=dict)


class DynamicSampler:
    """Collective: every rank calls `next_batch` together and gets the same rollouts.

    Args:
        prompts: which come next.
        sample: scored rollouts of the given rows, `group_size` of each side by side, on every rank.
        batch_size: prompts of a full batch.
        filter: how dynamic sampling chooses groups (DAPO, arXiv 2503.14476, section 3.2); None takes all.
        tolerance: rewards that differ by no more than this are equal.
        before_keeping: called with the rollouts that are kept for a later batch.
    """

    def __init__(
        self,
        prompts: PromptSampler,
        sample: Callable[[list[int]], list[Rollout]],
        *,
        batch_size: int,
        group_size: int,
        filter: DynamicSampling | None = None,
        tolerance: float = 0.0,
        before_keeping: Callable[[list[Rollout]], None] = lambda rollouts: None,
    ) -> None:
        self.prompts, self.batch_size, self.group_size = prompts, batch_size, group_size
        self._sample, self._before_keeping = sample, before_keeping
        self._filter, self._tolerance = filter, tolerance
        self._surplus: list[Group] = []

    def next_batch(self) -> RolloutBatch:
        """The next batch; smaller than a full one, even empty, where `max_rounds` gave no more groups with a signal."""
        if self._filter is None:
            rollouts = self._sample(self.prompts.take(self.batch_size))
            batch = RolloutBatch(rollouts, rollouts)
        else:
            batch = self._refill(self._filter)
        self.prompts.forget({rollout.row for rollout in batch.rollouts} | self._surplus_rows())
        return batch

    def peek(self) -> list[int]:
        """The rows that the next `next_batch` will sample first."""
        return self.prompts.peek(max(1, self.batch_size - len(self._surplus)))

    def state(self) -> dict[str, Any]:
        return {"prompts": self.prompts.state(), "surplus": self._surplus}

    def restore(self, state: dict[str, Any]) -> None:
        self.prompts.restore(state["prompts"])
        self._surplus = state["surplus"]

    def _refill(self, chosen: DynamicSampling) -> RolloutBatch:
        """A full batch of groups with a signal, or as many as `max_rounds` rounds of sampling give."""
        kept, generated, rounds, rate = self._surplus, [], 0, 1.0
        before = len(kept)
        while len(kept) < self.batch_size and rounds < chosen.max_rounds:
            number = math.ceil((self.batch_size - len(kept)) / rate)
            rollouts = self._sample(self.prompts.take(number))
            kept = kept + self._with_signal(_grouped(rollouts, self.group_size), chosen)
            generated += rollouts
            rounds += 1
            rate = max((len(kept) - before) * self.group_size / len(generated), LOWEST_RATE)
        self._surplus = kept[self.batch_size :]
        self._before_keeping([rollout for group in self._surplus for rollout in group])
        metrics = {"dynamic_sampling/rounds": float(rounds), "dynamic_sampling/kept": float(len(self._surplus))}
        if generated:
            metrics["dynamic_sampling/accept_rate"] = (len(kept) - before) * self.group_size / len(generated)
        return RolloutBatch([rollout for group in kept[: self.batch_size] for rollout in group], generated, metrics)

    def _surplus_rows(self) -> set[int]:
        return {rollout.row for group in self._surplus for rollout in group}

    def _with_signal(self, groups: Sequence[Group], chosen: DynamicSampling) -> list[Group]:
        rollouts = [rollout for group in groups for rollout in group]
        values = rewards_of(rollouts) if chosen.key is None else column(rollouts, chosen.key)
        keep = informative(values, self.group_size, tolerance=self._tolerance, low=chosen.low, high=chosen.high)
        return [group for group, kept in zip(groups, keep.tolist(), strict=True) if kept]


def column(rollouts: Sequence[Rollout], key: str) -> torch.Tensor:
    """(B,) the metric `key`, or `key` of the dict that one function returned.

    Raises:
        RecipeError: no reward function gives it.
    """
    known = sorted({name for rollout in rollouts for name in rollout.metrics})
    names = [name for name in known if name == key] or [name for name in known if name.rpartition("/")[2] == key]
    if len(names) != 1:
        raise RecipeError(
            f"algorithm.dynamic_sampling.key: {key!r} is {'given twice' if names else 'not given'} by the rewards; "
            f"known are {', '.join(known)}."
        )
    values = [rollout.metrics.get(names[0], math.nan) for rollout in rollouts]
    return torch.tensor(values, dtype=torch.float64)


def _grouped(rollouts: Sequence[Rollout], size: int) -> list[Group]:
    return [list(rollouts[start : start + size]) for start in range(0, len(rollouts), size)]

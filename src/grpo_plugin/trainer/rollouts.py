"""From prompts to the samples of one rollout batch; with dynamic sampling, drawn until its groups carry a signal."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from grpo_plugin.algorithms.groups import informative
from grpo_plugin.config.algorithm import DynamicSampling
from grpo_plugin.errors import RecipeError
from grpo_plugin.trainer.feed import Feed
from grpo_plugin.trainer.sample import Sample, rewards_of

Group = list[Sample]
LEAST_RATE = 0.25  # of groups with a signal; the next round asks for at most 1 / this times what is missing


class Rollouts:
    """Collective: every rank calls `next` together and gets the same samples.

    Args:
        feed: which prompts come next.
        draw: scored completions of the given rows, `group_size` of each side by side, on every rank.
        prompts: of a full batch.
        multiple: rows of a draw come in multiples of this, so that their completions are shared evenly by the ranks.
        chosen: how dynamic sampling chooses groups; None takes them all.
        keep: prepares samples that stay for a later batch.
    """

    def __init__(
        self,
        feed: Feed,
        draw: Callable[[list[int]], list[Sample]],
        *,
        prompts: int,
        group_size: int,
        multiple: int = 1,
        chosen: DynamicSampling | None = None,
        tolerance: float = 0.0,
        keep: Callable[[list[Sample]], None] = lambda samples: None,
    ) -> None:
        self.feed, self.prompts, self.group_size = feed, prompts, group_size
        self.metrics: dict[str, float] = {}
        self._draw, self._multiple, self._keep = draw, multiple, keep
        self._chosen, self._tolerance = chosen, tolerance
        self._surplus: list[Group] = []

    def next(self) -> list[Sample]:
        """The samples of the next batch; fewer than a full one, even none, where prompts with a signal ran out."""
        if self._chosen is None:
            return self._draw(self.feed.take(self.prompts))
        return [sample for group in self._fill(self._chosen) for sample in group]

    def ahead(self) -> list[int]:
        """The rows that the next `next` will draw first."""
        return self.feed.peek(self._rounded(self.prompts - len(self._surplus), 1.0))

    @property
    def surplus_rows(self) -> set[int]:
        return {sample.row for group in self._surplus for sample in group}

    def state(self) -> dict[str, Any]:
        return {"feed": self.feed.state(), "surplus": self._surplus}

    def restore(self, state: dict[str, Any]) -> None:
        self.feed.restore(state["feed"])
        self._surplus = state["surplus"]

    def _fill(self, chosen: DynamicSampling) -> list[Group]:
        """A full batch of groups with a signal, or as many as `max_rounds` draws give."""
        kept, drawn, rounds, rate = self._surplus, 0, 0, 1.0
        before = len(kept)
        while len(kept) < self.prompts and rounds < chosen.max_rounds:
            rows = self.feed.take(self._rounded(self.prompts - len(kept), rate))
            groups = _grouped(self._draw(rows), self.group_size)
            kept = kept + self._with_signal(groups, chosen)
            drawn, rounds = drawn + len(groups), rounds + 1
            rate = max((len(kept) - before) / drawn, LEAST_RATE)
        self._surplus = kept[self.prompts :]
        self._keep([sample for group in self._surplus for sample in group])
        self.metrics = {"dynamic_sampling/rounds": float(rounds), "dynamic_sampling/kept": float(len(self._surplus))}
        if drawn:
            self.metrics["dynamic_sampling/accept_rate"] = (len(kept) - before) / drawn
        return kept[: self.prompts]

    def _rounded(self, missing: int, rate: float) -> int:
        return self._multiple * math.ceil(max(missing, 1) / rate / self._multiple)

    def _with_signal(self, groups: Sequence[Group], chosen: DynamicSampling) -> list[Group]:
        samples = [sample for group in groups for sample in group]
        values = rewards_of(samples) if chosen.key is None else _column(samples, chosen.key)
        keep = informative(values, self.group_size, tolerance=self._tolerance, low=chosen.low, high=chosen.high)
        return [group for group, kept in zip(groups, keep.tolist(), strict=True) if kept]


def _column(samples: Sequence[Sample], key: str) -> torch.Tensor:
    """The metric `key`, or the one key of a function's dict that is called so.

    Raises:
        RecipeError: no reward function gives it.
    """
    known = sorted({name for sample in samples for name in sample.metrics})
    names = [name for name in known if name == key] or [name for name in known if name.rpartition("/")[2] == key]
    if len(names) != 1:
        raise RecipeError(
            f"algorithm.dynamic_sampling.key: {key!r} is {'given twice' if names else 'not given'} by the rewards; "
            f"known are {', '.join(known)}."
        )
    values = [sample.metrics.get(names[0], math.nan) for sample in samples]
    return torch.tensor(values, dtype=torch.float64)


def _grouped(samples: Sequence[Sample], size: int) -> list[Group]:
    return [list(samples[start : start + size]) for start in range(0, len(samples), size)]

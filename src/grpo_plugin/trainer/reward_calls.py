"""The recipe's reward functions in the shape in which TRL calls them."""

from collections.abc import Callable
from typing import Any

from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring.batch_scores import BatchScores
from grpo_plugin.scoring.signature import EXTRAS


class RewardCalls:
    """One function per reward for TRL's constructor, which wants a `__name__`, and for its `_calculate_rewards`.

    TRL calls the functions one after the other on the same batch: the first call scores it for all of them.
    """

    def __init__(self, rewards: RewardSet) -> None:
        self._rewards = rewards
        self._scored: BatchScores | None = None

    def functions(self) -> list[Callable[..., list[float | None]]]:
        """In the order of `RewardSet.names`; each returns B scores."""
        return [self._function(place, name) for place, name in enumerate(self._rewards.names)]

    @property
    def seconds(self) -> list[float] | None:
        """Of the batch that TRL scored last, per completion."""
        return None if self._scored is None else self._scored.seconds

    @property
    def parts(self) -> dict[str, list[float | None]]:
        """Of the batch that TRL scored last: what functions returned beside their score, per completion."""
        return {} if self._scored is None else self._scored.parts

    def _function(self, place: int, name: str) -> Callable[..., list[float | None]]:
        def column(prompts: Any, completions: Any, completion_ids: Any, **given: Any) -> list[float | None]:
            if place == 0 or self._scored is None:
                self._scored = self._score(prompts, completions, completion_ids, given)
            return self._scored.by_function[place]

        column.__name__ = column.__qualname__ = name
        return column

    def _score(self, prompts: Any, completions: Any, completion_ids: Any, given: dict[str, Any]) -> BatchScores:
        extras = {name: given.pop(name) for name in EXTRAS if name in given}
        scored = self._rewards.score(prompts, completions, completion_ids, given, extras)
        if log_metric := extras.get("log_metric"):
            for name, value in scored.metrics.items():
                log_metric(name, value)
        return scored

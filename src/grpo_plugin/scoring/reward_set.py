"""The reward functions of a recipe, called together on a batch of completions."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.scoring import signature
from grpo_plugin.scoring.batch import Batch
from grpo_plugin.scoring.reward import Reward, build
from grpo_plugin.scoring.signature import EXTRAS
from grpo_plugin.scoring.verdicts import OVERALL, Verdicts


class RewardSet:
    """All reward functions of a run; made by `load`, ended by `close`."""

    def __init__(self, rewards: Sequence[Reward], config: RewardsConfig) -> None:
        self.rewards = list(rewards)
        self.config = config
        self.last: dict[str, Verdicts] = {}

    @property
    def names(self) -> list[str]:
        return [reward.name for reward in self.rewards]

    @property
    def weights(self) -> list[float]:
        return [reward.weight for reward in self.rewards]

    def check_columns(self, available: Collection[str]) -> None:
        """Raise RewardError where a function asks for a dataset column that is not `available`."""
        for reward in self.rewards:
            signature.check_columns(reward.where, reward.signature, available)

    def score(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        columns: Mapping[str, Sequence[Any]],
    ) -> list[list[float | None]]:
        """Scores by function, then by completion; None where a function abstained.

        Raises:
            RewardError: a function is broken; the error names it, the row and the completion.
        """
        batch = Batch(prompts, completions, completion_ids, columns)
        return [self._judge(reward, batch).scores for reward in self.rewards]

    def extra_metrics(self) -> dict[str, list[float | None]]:
        """Of the last batch: every key of the dicts that functions returned, as `name/key`, per completion."""
        return {
            f"{name}/{key}": values
            for name, judged in self.last.items()
            for key, values in judged.parts.items()
            if key != OVERALL
        }

    def trl_functions(self) -> list[Callable[..., list[float | None]]]:
        """One function per reward with TRL's signature; its `__name__` is the reward's unique name."""
        return [self._trl_function(reward) for reward in self.rewards]

    def close(self) -> None:
        """End what was started for scoring; calling it again does nothing."""

    def _trl_function(self, reward: Reward) -> Callable[..., list[float | None]]:
        def judge(prompts: Any, completions: Any, completion_ids: Any, **given: Any) -> list[float | None]:
            extras = {name: given.pop(name) for name in EXTRAS if name in given}
            judged = self._judge(reward, Batch(prompts, completions, completion_ids, given, extras))
            if log_metric := extras.get("log_metric"):
                for key, values in judged.parts.items():
                    present = [value for value in values if value is not None]
                    if key != OVERALL and present:
                        log_metric(f"rewards/{reward.name}/{key}", sum(present) / len(present))
            return judged.scores

        judge.__name__ = judge.__qualname__ = reward.name
        return judge

    def _judge(self, reward: Reward, batch: Batch) -> Verdicts:
        judged = reward.judge(batch, self.config.batch_timeout)
        self.last[reward.name] = judged
        return judged


def load(config: RewardsConfig, base_dir: Path) -> RewardSet:
    """Load every function that the `rewards:` block names; files are looked for beside the recipe (`base_dir`).

    Raises:
        RewardError: a function cannot be found, imported or called as a reward.
    """
    rewards = [build(function, index, base_dir) for index, function in enumerate(config.functions)]
    return RewardSet(_with_unique_names(rewards), config)


def _with_unique_names(rewards: Sequence[Reward]) -> list[Reward]:
    """Two functions of one name get their module in front; if that does not part them, their place behind."""
    shared = {name for name, count in Counter(reward.name for reward in rewards).items() if count > 1}
    named = [replace(reward, name=_qualified(reward)) if reward.name in shared else reward for reward in rewards]
    shared = {name for name, count in Counter(reward.name for reward in named).items() if count > 1}
    return [
        replace(reward, name=f"{reward.name}_{index}") if reward.name in shared else reward
        for index, reward in enumerate(named)
    ]


def _qualified(reward: Reward) -> str:
    if reward.config.name:
        return reward.name
    owner = Path(reward.config.function.rpartition(":")[0]).stem or reward.config.function.rpartition(".")[0]
    return f"{owner.rpartition('.')[2]}_{reward.name}"

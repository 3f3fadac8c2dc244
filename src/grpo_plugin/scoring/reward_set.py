"""The reward functions of a recipe, called together on a batch of completions."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from grpo_plugin.config.rewards import RewardFunction, RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import sandbox, signature
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.scoring.batch_scores import BatchScores, combined
from grpo_plugin.scoring.completions import CompletionBatch
from grpo_plugin.scoring.reward import Reward, build, given
from grpo_plugin.scoring.runner import Place, Runner
from grpo_plugin.scoring.verdicts import Verdicts, allowed_failures

log = logging.getLogger(__name__)

_MOST_WITHOUT_SCORE = 256


class RewardSet:
    """All reward functions of a run; made by `load`, ended by `close`."""

    def __init__(self, rewards: Sequence[Reward], config: RewardsConfig, base_dir: Path) -> None:
        self.rewards = list(rewards)
        self.config = config
        self._batches = 0
        self._ever_scored = False
        self._without_score = 0  # completions in a row that no function gave a score
        self._runner = Runner(self.rewards, config, base_dir)

    @property
    def names(self) -> list[str]:
        return [reward.name for reward in self.rewards]

    @property
    def weights(self) -> list[float]:
        return [reward.weight for reward in self.rewards]

    def notes(self) -> list[str]:
        """One line for each thing a user should know of how these functions score on this machine."""
        return list(dict.fromkeys(note for reward in self.rewards if (note := reward.describe())))

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
        extras: Mapping[str, Any] = MappingProxyType({}),
    ) -> BatchScores:
        """The scores of B completions by every function, one function after the other.

        Args:
            prompts: text or chat messages; length B, as all of the next three.
            columns: the dataset's columns.
            extras: what TRL gives beside the batch (`signature.EXTRAS`); a function gets those that it names.

        Raises:
            RewardError: a function is broken (with `on_error: raise`), too many completions have no verdict, or no
                function gave any completion a score.
        """
        self._batches += 1
        batch = CompletionBatch(prompts, completions, completion_ids, columns, extras)
        try:
            scored = combined({reward.name: self._score(reward, batch) for reward in self.rewards})
            self._check_any_score(scored)
        except RewardError as error:
            raise RewardError(f"{str(error).rstrip('.')} (batch {self._batches} of this process).") from error
        return scored

    def totals(self, scores: Sequence[Sequence[float | None]], group_size: int = 1) -> list[float | None]:
        """One number per completion, as `rewards.aggregation` and the weights say; groups lie side by side."""
        return totals(scores, self.weights, self.config.aggregation, group_size)

    def places(self) -> dict[str, Place]:
        """Where each function runs, by name: "trainer" or "workers"."""
        return {reward.name: self._runner.place(reward) for reward in self.rewards}

    def close(self) -> None:
        """End the worker processes; calling it again does nothing."""
        self._runner.close()

    def _score(self, reward: Reward, batch: CompletionBatch) -> Verdicts:
        verdicts = self._runner.score(reward, batch)
        self._check_failures(reward, verdicts)
        return verdicts

    def _check_failures(self, reward: Reward, verdicts: Verdicts) -> None:
        """Stop at a broken grader unless failures are excluded, and at too many failures in any case."""
        failures = verdicts.failures
        if not failures:
            return
        if self.config.on_error == "raise" and (broken := [row for row in failures if row not in verdicts.lost]):
            raise RewardError(failures[broken[0]])
        size = len(verdicts.scores)
        first = next(iter(failures.values()))
        if len(failures) > allowed_failures(self.config, size):
            raise RewardError(
                f"{reward.where}: {len(failures)} of {size} completions have no verdict, more than "
                f"rewards.max_failed ({self.config.max_failed:g}) allows; the first: {first}"
            )
        log.warning("%s: %d of %d completions have no verdict; the first: %s", reward.where, len(failures), size, first)

    def _check_any_score(self, scored: BatchScores) -> None:
        """Stop where no function gives any completion a score: in the first batch, or in many completions in a row."""
        size = len(scored.by_function[0])
        if any(score is not None for column in scored.by_function for score in column):
            self._without_score = 0
            self._ever_scored = True
            return
        self._without_score += size
        if self._without_score >= _MOST_WITHOUT_SCORE or (size > 1 and not self._ever_scored):
            raise RewardError(
                f"rewards.functions: {', '.join(self.names)} returned None for all of the last {self._without_score} "
                "completions; return a number for at least some of them (a `return` may be missing)."
            )


def load(
    config: RewardsConfig | None,
    base_dir: Path,
    of_environments: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> RewardSet:
    """Load every function that the `rewards:` block names; files are looked for beside the recipe (`base_dir`).

    Args:
        config: None where environments alone give rewards.
        of_environments: by the name of its class, what calls the `get_reward()` of environments; of weight 1 each.

    Raises:
        RewardError: a function cannot be found, imported or called as a reward; a sandbox is required and not there;
            there is no reward at all.
    """
    if config is None and not of_environments:
        raise RewardError(
            "rewards: the recipe names no reward, and no environment has a get_reward() method; add "
            "grpo_plugin.RewardPlugin and a block such as rewards: {functions: [{function: rewards.math.accuracy}]}."
        )
    own = [
        RewardFunction(function=f"{name}.get_reward", name=name, run="trainer", kwargs={}) for name in of_environments
    ]
    named = [] if config is None else config.functions
    config = config or RewardsConfig(functions=own)
    if config.sandbox == "required":
        sandbox.require()
    rewards = [build(function, index, base_dir) for index, function in enumerate(named)]
    rewards += [
        given(function, of_environments[str(function.name)], index) for index, function in enumerate(own, len(rewards))
    ]
    loaded = RewardSet(_with_unique_names(rewards), config, base_dir)
    for note in loaded.notes():
        log.info(note)
    return loaded


def _with_unique_names(rewards: Sequence[Reward]) -> list[Reward]:
    """Functions of one name get their module's before it; where these are equal too, their place behind it."""
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

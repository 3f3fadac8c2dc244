"""Scored rollouts: prompts are completed, completions are scored, and every rank gets all of them."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.scoring import RewardSet
from grpo_plugin.trainer.episodes import EpisodeSampler, episode_inputs, rollout_of
from grpo_plugin.trainer.generator import Generated, Generator, with_temperature
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.micro_batches import share_of_rank
from grpo_plugin.trainer.prompt_sampler import PromptSampler, Row
from grpo_plugin.trainer.rollout import Rollout
from grpo_plugin.trainer.tokenization import RewardInputs, reward_inputs


class RolloutSampler:
    """Samples rollouts of rows; every method is collective.

    Args:
        metrics: where reward functions log through `log_metric`.
        group_size: completions per prompt.
        trainer_state: returns transformers' current state, for reward functions that take it.
        episodes: plays the rows as episodes; None where completions are single turns without tools.
    """

    def __init__(
        self,
        prompts: PromptSampler,
        generator: Generator,
        rewards: RewardSet,
        accelerator: Accelerator,
        metrics: Metrics,
        stopwatch: Stopwatch,
        *,
        group_size: int,
        trainer_state: Callable[[], Any],
        episodes: EpisodeSampler | None = None,
    ) -> None:
        self.rewards = rewards
        self._prompts, self._generator, self._accelerator = prompts, generator, accelerator
        self._metrics, self._stopwatch = metrics, stopwatch
        self._group_size, self._trainer_state = group_size, trainer_state
        self._episodes = episodes

    def sample(self, rows: Sequence[int]) -> list[Rollout]:
        """`group_size` scored completions of each row, side by side, on every rank."""
        return gather_object(self._scored(rows, self._group_size, self._generator.sampling))

    def tokenized(self, rows: list[int]) -> tuple[list[list[int]], list[Any]]:
        """Token ids and images of this rank's share of the prompts of some rows."""
        mine = [self._prompts.row(rows[index]) for index in share_of_rank(len(rows), self._accelerator)]
        return self._generator.tokenizer.prompts(mine)

    def greedy_rewards(self, rows: Sequence[int]) -> list[float]:
        """The reward of the greedy completion of each row, on every rank: the baselines of ReMax."""
        greedy = with_temperature(self._generator.sampling, 0.0)
        return gather_object([rollout.reward for rollout in self._scored(rows, 1, greedy)])

    def _scored(self, rows: Sequence[int], number: int, sampling: Sampling) -> list[Rollout]:
        """`number` scored completions of each row of this rank's share."""
        if self._episodes is not None:
            return self._scored_episodes(self._episodes, rows, number, sampling)
        mine = [rows[index] for index in share_of_rank(len(rows), self._accelerator)]
        data = [self._prompts.row(row) for row in mine]
        groups = self._generator.generate(data, number, sampling)
        rollouts = [
            rollout
            for row, columns, group in zip(mine, data, groups, strict=True)
            for rollout in self._unscored(row, columns, group)
        ]
        repeated = [columns for columns in data for _ in range(number)]
        self._score(rollouts, reward_inputs(repeated, [rollout.completion for rollout in rollouts]), number)
        return rollouts

    def _scored_episodes(
        self, sampler: EpisodeSampler, rows: Sequence[int], number: int, sampling: Sampling
    ) -> list[Rollout]:
        """The same of episodes."""
        mine = [rows[index] for index in sampler.share(len(rows))]
        data = [self._prompts.row(row) for row in mine]
        groups = sampler.play(data, number, sampling, [f"row {row} of prompts.train" for row in mine])
        episodes = [episode for group in groups for episode in group]
        repeated = [(row, columns) for row, columns in zip(mine, data, strict=True) for _ in range(number)]
        rollouts = [
            rollout_of(row, columns.get("answer"), episode, self._generator.tokenizer)
            for (row, columns), episode in zip(repeated, episodes, strict=True)
        ]
        inputs = episode_inputs([columns for _, columns in repeated], episodes, self._generator.tokenizer)
        self._score(rollouts, inputs, number, [episode.environment for episode in episodes])
        for episode in episodes:
            episode.end()
        return rollouts

    def _unscored(self, row: int, columns: Row, group: Generated) -> list[Rollout]:
        tokenizer, answer = self._generator.tokenizer, columns.get("answer")
        prompt = tokenizer.text(group.prompt_ids)
        texts = tokenizer.completions(columns, group.prompt_ids, [one.token_ids for one in group.completions])
        return [
            Rollout(
                row=row,
                prompt_ids=group.prompt_ids,
                completion_ids=completion.token_ids,
                sampler_logps=completion.logps,
                finish_reason=completion.finish_reason,
                policy_version=completion.version,
                prompt=prompt,
                completion=text,
                answer=None if answer is None else str(answer),
            )
            for completion, text in zip(group.completions, texts, strict=True)
        ]

    def _score(
        self,
        rollouts: list[Rollout],
        inputs: RewardInputs,
        group_size: int,
        environments: Sequence[Any] | None = None,
    ) -> None:
        """Set the scores and rewards of this rank's rollouts; `inputs` and `environments` are theirs."""
        if not rollouts:
            return
        ids = [rollout.completion_ids for rollout in rollouts]
        extra: defaultdict[str, list[Any]] = defaultdict(list)
        extras = self._extras(extra) | ({} if environments is None else {"environments": list(environments)})
        with self._stopwatch("score"):
            scores = self.rewards.score(inputs.prompts, inputs.completions, ids, inputs.columns, extras)
        totals = self.rewards.totals(scores.by_function, group_size)
        named = dict(zip(self.rewards.names, scores.by_function, strict=True)) | scores.parts
        for index, rollout in enumerate(rollouts):
            rollout.scores = tuple(_number(values[index]) for values in scores.by_function)
            rollout.metrics = {name: _number(values[index]) for name, values in named.items()}
            rollout.score_seconds = None if scores.seconds is None else scores.seconds[index]
            rollout.reward = _number(totals[index])
            rollout.extra = {name: values[index] for name, values in extra.items() if len(values) == len(rollouts)}
        for name, value in scores.metrics.items():
            self._metrics.add(name, value, of_batch=True)

    def _extras(self, extra: defaultdict[str, list[Any]]) -> dict[str, Any]:
        """What TRL offers to reward functions beside the columns of the data; `extra` takes what they log."""
        return {
            "trainer_state": self._trainer_state(),
            "log_metric": lambda name, value: self._metrics.add(name, value, of_batch=True),
            "log_extra": lambda name, values: extra[name].extend(values),
        }


def _number(value: float | None) -> float:
    return math.nan if value is None else value

"""Episodes of rows of the data: environments, tools and several turns, with the policy's turns from the backend."""

from collections.abc import Sequence
from typing import Any

from accelerate import Accelerator

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.calls import Message
from grpo_plugin.environments.episode import Episode
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.loading import Environments
from grpo_plugin.environments.templates import Rendering
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.generator import Backend
from grpo_plugin.trainer.micro_batches import share_of_rank
from grpo_plugin.trainer.rollout import EpisodeRecord, Rollout
from grpo_plugin.trainer.tokenization import PromptTokenizer, RewardInputs, Row, columns_of, prefill


def rollout_of(row: int, answer: Any, episode: Episode, tokenizer: PromptTokenizer) -> Rollout:
    """An episode that is over, as a rollout without scores; `row` and `answer` are of the data."""
    return Rollout(
        row=row,
        prompt_ids=episode.prompt_ids,
        completion_ids=episode.completion_ids,
        sampler_logps=episode.logps,
        finish_reason=episode.finish_reason,
        policy_version=max(episode.versions, default=0),
        prompt=tokenizer.text(episode.prompt_ids),
        completion=tokenizer.text(episode.completion_ids),
        answer=None if answer is None else str(answer),
        sampled_mask=episode.sampled_mask,
        episode=record_of(episode),
    )


def record_of(episode: Episode) -> EpisodeRecord:
    """What is kept of an episode that is over, beside its tokens."""
    return EpisodeRecord(
        episode.turns, episode.tool_calls, dict(episode.failures), list(episode.messages), episode.out_of_turns
    )


def episode_inputs(rows: Sequence[Row], episodes: Sequence[Episode], tokenizer: PromptTokenizer) -> RewardInputs:
    """What reward functions take of episodes, as TRL gives it; `rows` holds the row of each.

    Departure: each turn of the model has the part of its message that the chat template opened for it (`<think>`), as
    completions of single turns have.
    """
    prompts = [list(episode.prompt) for episode in episodes]
    return RewardInputs(prompts, [_visible(episode, tokenizer) for episode in episodes], columns_of(rows))


def _visible(episode: Episode, tokenizer: PromptTokenizer) -> list[Message]:
    """The messages of an episode, each turn of the model after the part of its message that stood before it."""
    own = episode.sampled_mask
    starts = iter([place for place, sampled in enumerate(own) if sampled and not (place and own[place - 1])])
    opening, messages = prefill(episode.prompt), list(episode.messages)
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or "reasoning_content" in message or (start := next(starts, None)) is None:
            continue
        opening = opening or tokenizer.opening(episode.prompt_ids + episode.completion_ids[:start])
        messages[place], opening = {**message, "content": opening + message["content"]}, ""
    return messages


class EpisodeSampler:
    """Plays episodes; collective, each rank with the rows of its share.

    Args:
        rendering: of prompts and tools' results.
        model_tokens: that a prompt and its completion may have; None where the model takes any number.
    """

    def __init__(
        self,
        environments: Environments,
        rendering: Rendering,
        backend: Backend,
        accelerator: Accelerator,
        stopwatch: Stopwatch,
        model_tokens: int | None = None,
    ) -> None:
        self._environments, self._rendering, self._backend = environments, rendering, backend
        self._accelerator, self._stopwatch, self._model_tokens = accelerator, stopwatch, model_tokens

    def share(self, number: int) -> Sequence[int]:
        """Which of `number` rows this rank plays: with vLLM the main process all of them, else each rank its share."""
        if not self._backend.plays_on_main:
            return share_of_rank(number, self._accelerator)
        return range(number) if self._accelerator.is_main_process else ()

    def play(self, rows: Sequence[Row], n: int, sampling: Sampling, labels: Sequence[str]) -> list[list[Episode]]:
        """`n` episodes of each of this rank's rows, played to their end; whoever has scored them calls `Episode.end`.

        Args:
            labels: of the rows, in errors.

        Raises:
            RolloutError: as `Backend.play`; whatever an environment raises.
        """
        limits = Limits(sampling.max_tokens, self._model_tokens)
        groups = [
            [self._environments.episode(row, self._rendering, limits, label) for _ in range(n)]
            for row, label in zip(rows, labels, strict=True)
        ]
        with self._stopwatch("generate"):
            self._backend.play([episode for group in groups for episode in group], sampling)
        return groups

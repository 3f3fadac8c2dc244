"""The metrics of a rollout batch (rewards, groups, lengths), and its rows of the generation log."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from grpo_plugin.algorithms.groups import signal
from grpo_plugin.environments.tool_calling import FAILURES
from grpo_plugin.rollout.generation_log import Generations, episode_columns
from grpo_plugin.trainer.rollout import EpisodeRecord, Rollout, none_if_nan, rewards_of
from grpo_plugin.trainer.training_sample import TrainingSample


def rollout_metrics(
    rollouts: Sequence[Rollout], functions: Sequence[str], group_size: int, tolerance: float
) -> Iterator[tuple[str, float]]:
    """(name, value) of each metric of B rollouts, whole groups side by side.

    Args:
        functions: names of the reward functions, in the order of `Rollout.scores`.
        tolerance: rewards that differ by no more than this are equal.
    """
    scores = torch.tensor([rollout.scores for rollout in rollouts], dtype=torch.float64)
    for name, column in zip(functions, scores.T, strict=True):
        yield f"rewards/{name}/mean", column.nanmean().item()
        yield f"rewards/{name}/std", _std(column)
    rewards = rewards_of(rollouts)
    yield "reward", rewards.nanmean().item()
    yield "reward_std", _std(rewards)
    for name, share in signal(rewards, group_size, tolerance=tolerance)._asdict().items():
        yield f"groups/{name}", share
    yield from _lengths(rollouts)
    yield from _episodes([rollout.episode for rollout in rollouts if rollout.episode is not None])


def _episodes(episodes: Sequence[EpisodeRecord]) -> Iterator[tuple[str, float]]:
    """Means over episodes, and the share of tool calls that failed, also by kind; nothing without episodes."""
    if not episodes:
        return
    calls = sum(episode.tool_calls for episode in episodes)
    failures = sum((Counter(episode.failures) for episode in episodes), Counter[str]())
    yield "episode/turns", sum(episode.turns for episode in episodes) / len(episodes)
    yield "episode/out_of_turns", sum(episode.out_of_turns for episode in episodes) / len(episodes)
    yield "episode/tool_calls", calls / len(episodes)
    yield "episode/tool_failures", failures.total() / max(1, calls)
    for kind in FAILURES:
        yield f"episode/tool_failures/{kind}", failures[kind] / max(1, calls)


def _lengths(rollouts: Sequence[Rollout]) -> Iterator[tuple[str, float]]:
    """Completion lengths in tokens that the policy sampled, under TRL's names."""
    lengths = [rollout.sampled_tokens for rollout in rollouts]
    ended = [length for length, rollout in zip(lengths, rollouts, strict=True) if not rollout.truncated] or [0]
    yield "completions/clipped_ratio", sum(rollout.truncated for rollout in rollouts) / len(rollouts)
    for name, values in (("length", lengths), ("terminated_length", ended)):
        yield f"completions/mean_{name}", sum(values) / len(values)
        yield f"completions/min_{name}", float(min(values))
        yield f"completions/max_{name}", float(max(values))


def share_without_advantage(samples: Sequence[TrainingSample]) -> float:
    """The share of completions whose advantage is 0, or that are masked; 1 where there are none."""
    learnt = [not sample.masked and bool(sample.advantages.any()) for sample in samples]
    return 1.0 - sum(learnt) / len(learnt) if learnt else 1.0


def generations(
    rollouts: Sequence[Rollout],
    samples: Sequence[TrainingSample],
    functions: Sequence[str],
    temperature: float,
    token_text: Callable[[int], str] | None = None,
) -> Generations:
    """The rows of the generation log; rollouts without a training sample have no advantage.

    Args:
        token_text: the text of a token id; given where the log keeps every token.
    """
    advantages = {id(sample.rollout): sample.advantages.mean().item() for sample in samples}
    return Generations(
        prompts=[rollout.prompt for rollout in rollouts],
        completions=[rollout.completion for rollout in rollouts],
        rewards=[none_if_nan(rollout.reward) for rollout in rollouts],
        functions={
            name: [none_if_nan(rollout.scores[index]) for rollout in rollouts] for index, name in enumerate(functions)
        },
        finish_reasons=[rollout.finish_reason for rollout in rollouts],
        temperature=temperature,
        policy_version=rollouts[-1].policy_version,
        advantages=[advantages.get(id(rollout)) for rollout in rollouts],
        answers=[rollout.answer for rollout in rollouts],
        score_seconds=[rollout.score_seconds for rollout in rollouts],
        rows=[rollout.row for rollout in rollouts],
        tokens=[rollout.sampled_tokens for rollout in rollouts],
        episodes=episode_columns([rollout.episode for rollout in rollouts]),
        extra={name: [rollout.extra.get(name) for rollout in rollouts] for name in _extra_names(rollouts)},
        per_token={} if token_text is None else _tokens(rollouts, samples, token_text),
    )


def _tokens(
    rollouts: Sequence[Rollout], samples: Sequence[TrainingSample], token_text: Callable[[int], str]
) -> dict[str, list[Any]]:
    """The columns of the generation log that hold a list of T for each rollout; None where it is not known."""
    of_rollout = {id(sample.rollout): sample for sample in samples}
    found = [of_rollout.get(id(rollout)) for rollout in rollouts]
    return {
        "prompt_ids": [rollout.prompt_ids for rollout in rollouts],
        "token_ids": [rollout.completion_ids for rollout in rollouts],
        "token_texts": [[token_text(token) for token in rollout.completion_ids] for rollout in rollouts],
        "token_sampled": [rollout.sampled_mask for rollout in rollouts],
        "token_logps": [rollout.sampler_logps for rollout in rollouts],
        "token_old_logps": [None if s is None or s.old_logps is None else s.old_logps.tolist() for s in found],
        "token_advantages": [None if sample is None else sample.advantages.tolist() for sample in found],
    }


def _extra_names(rollouts: Sequence[Rollout]) -> list[str]:
    return sorted({name for rollout in rollouts for name in rollout.extra})


def _std(values: torch.Tensor) -> float:
    """The standard deviation of the values that are not NaN; NaN with fewer than two of them."""
    present = values[~values.isnan()]
    return present.std().item() if len(present) > 1 else math.nan

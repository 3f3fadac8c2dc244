"""A rollout: one completion of one prompt, with its log-probabilities and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class EpisodeRecord:
    """What is kept of an episode beside its tokens.

    Attributes:
        turns: of the policy.
        tool_calls: in all.
        failures: how many tool calls failed, by kind.
        messages: what came after the prompt: the policy's messages and the tools' results.
        out_of_turns: the last turn's calls were not run because `environments.max_turns` was reached.
    """

    turns: int
    tool_calls: int
    failures: Mapping[str, int] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] = ()
    out_of_turns: bool = False

    @property
    def tool_failures(self) -> int:
        """How many tool calls failed."""
        return sum(self.failures.values())


@dataclass
class Rollout:
    """One completion of a prompt. T = completion tokens.

    Attributes:
        row: of the data, as the prompt sampler numbers it.
        prompt_ids, completion_ids: token ids.
        sampler_logps: (T) of each completion token when it was sampled; None where Hugging Face generated it.
        finish_reason: "stop", or "length" where the budget of tokens ran out.
        policy_version: of the weights that generated it.
        prompt, completion, answer: as text; the completion as reward functions get it.
        scores: of each reward function, NaN where it gave none.
        metrics: what dynamic sampling may filter by, by name: functions' scores, and the keys of dicts they returned.
        score_seconds: how long the reward functions took for it; None where that is not measured.
        reward: the weighted total of the scores; NaN where no function gave one.
        extra: what reward functions logged of it through `log_extra`, by column of the generation log.
        sampled_mask: (T) false on tokens that the policy did not sample (a tool's answer); None: it sampled all.
        episode: turns, tool calls and messages of an episode; None for a completion without environment and tools.
    """

    row: int
    prompt_ids: list[int]
    completion_ids: list[int]
    sampler_logps: list[float] | None
    finish_reason: str
    policy_version: int
    prompt: str = ""
    completion: str = ""
    answer: str | None = None
    scores: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    score_seconds: float | None = None
    reward: float = float("nan")
    extra: Mapping[str, Any] = field(default_factory=dict)
    sampled_mask: list[bool] | None = None
    episode: EpisodeRecord | None = None

    @property
    def tokens(self) -> int:
        """The number of tokens of prompt and completion."""
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def sampled_tokens(self) -> int:
        """The number of completion tokens that the policy sampled."""
        return len(self.completion_ids) if self.sampled_mask is None else sum(self.sampled_mask)

    @property
    def sampled(self) -> Tensor:
        """(T,) true on tokens that the policy sampled."""
        return torch.tensor(self.sampled_mask or [True] * len(self.completion_ids), dtype=torch.bool)

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


def dummy(rollout: Rollout) -> Rollout:
    """A rollout of two tokens: a rank without work runs it so that it joins the collectives."""
    first = rollout.prompt_ids[:1]
    return replace(rollout, prompt_ids=first, completion_ids=rollout.completion_ids[:1] or first, sampled_mask=None)


def completion_mask(rollouts: Sequence[Rollout], device: torch.device | str = "cpu") -> Tensor:
    """(B, T), true on the tokens that the policy sampled; T is the longest completion, at least 1."""
    lengths = torch.tensor([len(rollout.completion_ids) for rollout in rollouts])
    mask = torch.arange(max(1, int(lengths.max()))) < lengths.unsqueeze(1)
    for row, rollout in enumerate(rollouts):
        if rollout.sampled_mask is not None:
            mask[row, : len(rollout.sampled_mask)] &= torch.tensor(rollout.sampled_mask, dtype=torch.bool)
    return mask.to(device)


def padded(values: Sequence[Sequence[float] | Tensor], width: int, device: torch.device | str = "cpu") -> Tensor:
    """Ragged rows as (B, width) fp32, padded on the right with 0."""
    tensor = torch.zeros(len(values), width)
    for row, given in enumerate(values):
        tensor[row, : len(given)] = torch.as_tensor(given, dtype=torch.float32)
    return tensor.to(device)


def padded_ids(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """Token ids (B, L), padded on the right with 0; L is at least 1."""
    tensor = torch.zeros(len(rows), max(1, max(map(len, rows))), dtype=torch.long)
    for place, row in enumerate(rows):
        tensor[place, : len(row)] = torch.as_tensor(row, dtype=torch.long)
    return tensor.to(device)


def length_mask(rows: Sequence[Sequence[Any]], device: torch.device | str = "cpu") -> Tensor:
    """(B, L), true where `padded_ids` of the same rows is not padding."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return torch.arange(max(1, int(lengths.max())), device=device) < lengths.unsqueeze(1)


def rewards_of(rollouts: Sequence[Rollout]) -> Tensor:
    """(B,) fp64: as exact as the functions returned them."""
    return torch.tensor([rollout.reward for rollout in rollouts], dtype=torch.float64)


def none_if_nan(value: float | None) -> float | None:
    """The score, or None for NaN."""
    return None if value is None or value != value else value

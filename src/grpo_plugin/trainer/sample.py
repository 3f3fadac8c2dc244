"""One scored completion, as it travels between ranks and from rollout to update."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Sample:
    """A completion of one prompt.

    Attributes:
        row: of the data, as the feed numbers it.
        prompt_ids, completion_ids: token ids.
        sampler_logps: of each completion token as vLLM drew it; None where Hugging Face did.
        finish_reason: "stop", or "length" where the budget ran out.
        scores: of each reward function, NaN where it abstained.
        metrics: what a filter may ask for, by name: functions' scores, and the keys of dicts that they returned.
        score_seconds: how long the reward functions took for it; None where that is not measured.
        reward: the weighted total; NaN where nothing could be scored.
        prompt, completion, answer: as text, for the log.
        version: of the policy that drew it.
        model_mask: false on completion tokens that the policy did not draw (a tool's answer); None: it drew all.
    """

    row: int
    prompt_ids: list[int]
    completion_ids: list[int]
    sampler_logps: list[float] | None
    finish_reason: str
    scores: tuple[float, ...]
    metrics: Mapping[str, float]
    prompt: str
    completion: str
    answer: str | None
    version: int
    score_seconds: float | None = None
    reward: float = float("nan")
    model_mask: list[bool] | None = None

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


def completion_mask(samples: Sequence[Sample], device: torch.device | str = "cpu") -> Tensor:
    """(B, T), true on the tokens that the policy drew; T is the longest completion, at least 1."""
    lengths = torch.tensor([len(sample.completion_ids) for sample in samples])
    mask = torch.arange(max(1, int(lengths.max()))) < lengths.unsqueeze(1)
    for row, sample in enumerate(samples):
        if sample.model_mask is not None:
            mask[row, : len(sample.model_mask)] &= torch.tensor(sample.model_mask, dtype=torch.bool)
    return mask.to(device)


def padded(values: Sequence[Sequence[float] | Tensor], width: int, device: torch.device | str = "cpu") -> Tensor:
    """Ragged rows as (B, width) fp32, 0 behind each."""
    tensor = torch.zeros(len(values), width)
    for row, given in enumerate(values):
        tensor[row, : len(given)] = torch.as_tensor(given, dtype=torch.float32)
    return tensor.to(device)


def rewards_of(samples: Sequence[Sample]) -> Tensor:
    """(B,) fp64: as exact as the functions returned them."""
    return torch.tensor([sample.reward for sample in samples], dtype=torch.float64)


def none_if_nan(value: float | None) -> float | None:
    """A score as logs and reward functions have it: None where there is none."""
    return None if value is None or value != value else value

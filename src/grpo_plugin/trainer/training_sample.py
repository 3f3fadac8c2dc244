"""What the update trains on: rollouts with their advantages, and the micro-batches they are divided into."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grpo_plugin.trainer.rollout import Rollout, padded


@dataclass
class TrainingSample:
    """A rollout of T completion tokens with what its loss needs.

    Attributes:
        advantages: (T,).
        old_logps: (T,) log-probabilities before the first optimizer step of the batch; None where not needed.
        ref_logps: (T,) of the reference model; None where not needed.
        policy_mask: (T,) false on tokens without a policy gradient (KL and averages still count them); None: all have
            one.
        masked: no token of it counts, neither in the loss nor in its average.
    """

    rollout: Rollout
    advantages: Tensor
    old_logps: Tensor | None = None
    ref_logps: Tensor | None = None
    policy_mask: Tensor | None = None
    masked: bool = False


@dataclass(frozen=True)
class MicroBatch:
    """One forward and backward pass of this rank.

    Attributes:
        samples: empty where this rank has none left and only joins the others' collectives.
        dummy: what to run in that case.
        denominator: what the loss of its optimizer step is divided by: tokens, or completions, over all ranks.
        step_tokens: of prompts and completions that its optimizer step runs, over all ranks.
    """

    samples: list[TrainingSample]
    dummy: Rollout
    denominator: float
    step_tokens: int = 0

    @property
    def rollouts(self) -> list[Rollout]:
        return [sample.rollout for sample in self.samples]

    def advantages(self, width: int, device: torch.device | str) -> Tensor:
        """(B, width), 0 behind each completion."""
        return padded([sample.advantages for sample in self.samples], width, device)

    def old_logps(self, width: int, device: torch.device | str) -> Tensor | None:
        """(B, width); None where the batch is trained on once, on-policy."""
        return stacked([sample.old_logps for sample in self.samples], width, device)

    def ref_logps(self, width: int, device: torch.device | str) -> Tensor | None:
        """(B, width); None where the loss needs no reference model."""
        return stacked([sample.ref_logps for sample in self.samples], width, device)

    def policy_mask(self, width: int, device: torch.device | str) -> Tensor | None:
        """(B, width), true on the tokens whose policy gradient counts; None where all do."""
        rows = [sample.policy_mask for sample in self.samples]
        if all(row is None for row in rows):
            return None
        return padded([torch.ones(width) if row is None else row for row in rows], width, device).bool()


def stacked(rows: Sequence[Tensor | None], width: int, device: torch.device | str = "cpu") -> Tensor | None:
    """(B, width) fp32, 0 behind each row and in rows that are None; None where all of them are."""
    if all(row is None for row in rows):
        return None
    return padded([() if row is None else row for row in rows], width, device)

"""The surrogate losses: one function of `Terms` (ratio, advantage, mask) per kind.

A surrogate returns the per-token loss, (B, T) or (B, 1) where all tokens of a completion share it, and its metrics,
each a boolean or real tensor of the same kind whose mean over tokens is logged.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0  # exp of more is useless as a weight, and soon overflows

Loss = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class Terms:
    """The inputs of a surrogate. All (B, T), 0 outside the mask, unless said otherwise."""

    logps: Tensor  # of the policy being trained; carries the gradient
    log_ratio: Tensor  # logps − old_logps of each token, whatever the level
    level_log_ratio: Tensor  # at the level of the kind: (B, T), or (B, 1) for a ratio of the sequence
    advantages: Tensor  # (B, 1) or (B, T)
    mask: Tensor  # bool
    correction: Tensor | None  # sampler importance weights, (B, T) or (B, 1)
    clip_low: float | None
    clip_high: float | None
    clip_dual: float | None

    @property
    def lengths(self) -> Tensor:
        """Tokens of each completion (B, 1), at least 1."""
        return self.mask.sum(1, keepdim=True).clamp(min=1)

    @property
    def ratio(self) -> Tensor:
        """π / π_old at the level of the kind."""
        return self.level_log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()

    def bounded(self, ratio: Tensor) -> Tensor:
        """The ratio held within [1 − clip_low, 1 + clip_high]; a missing bound does not limit it."""
        low = None if self.clip_low is None else 1.0 - self.clip_low
        high = None if self.clip_high is None else 1.0 + self.clip_high
        return ratio if low is None and high is None else ratio.clamp(low, high)


def log_ratio_at(level: str, logps: Tensor, log_ratio: Tensor, mask: Tensor) -> Tensor:
    """The log-ratio whose exponential a kind calls its ratio.

    `token`: that of each token (B, T). `sequence`: the mean over the completion (B, 1), GSPO's eq. 7
    (arXiv 2507.18071). `sequence_token`: the sequence's value with the token's own gradient (B, T), its eq. 14.
    """
    if level == "token":
        return log_ratio
    mean = log_ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean if level == "sequence" else mean.detach() + logps - logps.detach()


def clipped(terms: Terms) -> Loss:
    """−min(r·A, clip(r)·A), PPO's eq. 7 (arXiv 1707.06347) with bounds of its own for each side (DAPO).

    With `clip_dual` c > 1 a completion of negative advantage contributes at most −c·A (arXiv 1912.09729).
    """
    ratio, advantages = terms.ratio, terms.advantages
    gain = torch.minimum(ratio * advantages, terms.bounded(ratio) * advantages)
    metrics = _clip_metrics(terms, ratio)
    if terms.clip_dual is not None:
        floor = terms.clip_dual * advantages
        metrics["clip/dual"] = (advantages < 0) & (gain < floor)
        gain = torch.where(advantages < 0, torch.maximum(gain, floor), gain)
    return -gain, metrics


def cispo(terms: Terms) -> Loss:
    """−sg(clip(r))·A·log π: the weight is clipped, no token loses its gradient (arXiv 2506.13585, eq. 4–5)."""
    ratio = terms.ratio.detach()
    return -terms.bounded(ratio) * terms.advantages * terms.logps, _clip_metrics(terms, ratio)


def reinforce(terms: Terms) -> Loss:
    """−A·log π (Williams 1992). There is no ratio: it is for batches used once."""
    return -terms.advantages * terms.logps, {}


def sapo(terms: Terms, temperature_pos: float = 1.0, temperature_neg: float = 1.05) -> Loss:
    """−A·(4/τ)·sigmoid(τ·(r − 1)), with a temperature τ for each sign of A (arXiv 2511.20347)."""
    temperature = torch.where(terms.advantages > 0, temperature_pos, temperature_neg)
    gate = torch.sigmoid(temperature * (terms.ratio - 1.0)) * 4.0 / temperature
    return -gate * terms.advantages, {"sapo/gate": gate}


def gmpo(terms: Terms) -> Loss:
    """−A·(geometric mean of the clipped token ratios) of each completion (arXiv 2507.20673).

    Here `clip_low` and `clip_high` bound the log-ratio: the ratio stays within exp(−clip_low) and exp(clip_high). As
    in PPO, an update is held only at the bound it moves towards.
    """
    low = -math.inf if terms.clip_low is None else -terms.clip_low
    high = math.inf if terms.clip_high is None else terms.clip_high
    rising = terms.advantages > 0
    held = torch.where(rising, terms.log_ratio.clamp(max=high), terms.log_ratio.clamp(min=low))
    mean = torch.where(terms.mask, held, 0.0).sum(1, keepdim=True) / terms.lengths
    metrics = {
        "clip/low": (terms.log_ratio < low) & (terms.advantages < 0),
        "clip/high": (terms.log_ratio > high) & rising,
    }
    return -mean.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp() * terms.advantages, metrics


def vespo(
    terms: Terms, k_pos: float = 2.0, lambda_pos: float = 3.0, k_neg: float = 3.0, lambda_neg: float = 2.0
) -> Loss:
    """−sg(φ(w))·A·log π with φ(w) = w^k·exp(λ·(1 − w)), w the ratio of the whole sequence (arXiv 2602.10693).

    w is the product of all token ratios, not their mean, and takes in the correction for the sampler.
    """
    floor = math.log(1e-8)
    log_w = terms.log_ratio.detach().clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).sum(1, keepdim=True)
    if terms.correction is not None:
        log_correction = terms.correction.log().clamp(floor, LOG_RATIO_LIMIT)
        inside = terms.mask if log_correction.shape == terms.mask.shape else terms.mask.any(1, keepdim=True)
        log_w = log_w + torch.where(inside, log_correction, 0.0).sum(1, keepdim=True)
    log_w = log_w.clamp(floor, LOG_RATIO_LIMIT)
    rising = terms.advantages >= 0
    k = torch.where(rising, k_pos, k_neg)
    decay = torch.where(rising, lambda_pos, lambda_neg).clamp(min=1e-4)
    phi = (decay + k * log_w - decay * log_w.exp()).exp()
    return -phi * terms.advantages * terms.logps, {"vespo/phi": phi}


def _clip_metrics(terms: Terms, ratio: Tensor) -> dict[str, Tensor]:
    """Where the gradient is 0: below the lower bound at a negative advantage, above the upper one at a positive."""
    low, high = terms.bounded(ratio) > ratio, terms.bounded(ratio) < ratio
    return {"clip/low": low & (terms.advantages < 0), "clip/high": high & (terms.advantages > 0)}

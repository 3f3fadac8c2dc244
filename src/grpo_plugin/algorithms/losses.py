"""The policy loss: one formula, of which every algorithm is a special case.

    loss = Σ_tokens weight · (correction · surrogate(ratio, advantage) + kl_coef · KL)

`weight` is the average (`averages`), `surrogate` and the level of its ratio are the kind, `correction` is the
importance weight between sampler and trainer (`correction`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grpo_plugin.algorithms import registry, surrogates
from grpo_plugin.algorithms.averages import masked_mean, token_weights
from grpo_plugin.algorithms.kl import k3, kl
from grpo_plugin.algorithms.surrogates import Terms


@dataclass(frozen=True)
class Kind:
    """A surrogate, the level of its ratio (token, sequence, sequence_token), and what it changes in the formula."""

    surrogate: Callable[..., surrogates.Loss]
    level: str = "token"
    times_length: bool = False  # a completion of the sequence average weighs as much as it has tokens (luspo)
    takes_correction: bool = False  # the surrogate uses the correction itself


KINDS: dict[str, Kind] = {
    "ppo": Kind(surrogates.clipped),
    "gspo": Kind(surrogates.clipped, level="sequence"),
    "gspo_token": Kind(surrogates.clipped, level="sequence_token"),
    "luspo": Kind(surrogates.clipped, level="sequence", times_length=True),
    "cispo": Kind(surrogates.cispo),
    "cispo_sequence": Kind(surrogates.cispo, level="sequence"),
    "sapo": Kind(surrogates.sapo),
    "sapo_sequence": Kind(surrogates.sapo, level="sequence"),
    "reinforce": Kind(surrogates.reinforce),
    "gmpo": Kind(surrogates.gmpo, level="sequence"),
    "vespo": Kind(surrogates.vespo, level="sequence", takes_correction=True),
}


def policy_loss(
    logps: Tensor,
    old_logps: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    *,
    kind: str,
    clip_low: float | None,
    clip_high: float | None,
    clip_dual: float | None = None,
    average: str = "token",
    denominator: Tensor | float | None = None,
    constant: float | None = None,
    ref_logps: Tensor | None = None,
    kl_coef: float = 0.0,
    kl_estimator: str = "k3",
    kl_values: Tensor | None = None,
    correction: Tensor | None = None,
    policy_mask: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a micro-batch, and its metrics.

    Args:
        logps: (B, T) log-probabilities of the policy, with gradient; anything outside the mask.
        old_logps: (B, T) at the time of sampling; None if the batch is used once.
        advantages: (B,) or (B, T).
        mask: (B, T), true (or 1) on the tokens that count in the loss; a row may be all false.
        kind: one of `KINDS`, or a dotted path to a surrogate of one's own (token level).
        clip_low: lower width of the ratio's range, 1 − clip_low; None for no bound. In log space for gmpo.
        clip_high: upper width, 1 + clip_high; None for no bound.
        clip_dual: largest multiple of a negative advantage that counts; None for no limit.
        average: token, sequence or constant, over `denominator`; see `averages.token_weights`.
        constant: what `constant` divides each completion by, e.g. the longest completion allowed.
        ref_logps: (B, T) of the reference model; with `kl_coef` > 0 the divergence is part of the loss.
        kl_values: (B, T) divergences computed elsewhere, in place of `kl_estimator` (`full` needs the vocabulary).
        correction: sampler importance weights, (B, T) or (B, 1); see `correction.sampler_weights`.
        policy_mask: (B, T), false where the surrogate counts 0 and KL, ratios and mean go on; see `entropy`.
        options: what else the kind takes: sapo's temperatures, vespo's exponents, or of one's own.

    Returns:
        The loss, and detached metrics: means over this call's `tokens`, by which to weigh them across micro-batches,
        and `ratio/max`.

    Raises:
        RecipeError: unknown kind, average, estimator or option.
    """
    chosen, mask = _kind(kind), mask.bool()
    terms = _terms(logps, old_logps, advantages, mask, chosen.level, correction, clip_low, clip_high, clip_dual)
    per_token, metrics = _policy_term(kind, chosen, terms, policy_mask, options)
    if kl_values is None and ref_logps is not None:
        kl_values = kl(terms.logps, torch.where(mask, ref_logps, 0.0), kl_estimator)
    if kl_values is not None:
        metrics = {**metrics, "kl/ref": kl_values}
        per_token = per_token + kl_coef * kl_values if kl_coef else per_token
    weights = token_weights(mask.to(logps.dtype), average, denominator=denominator, constant=constant)
    if chosen.times_length:
        weights = weights * terms.lengths
    loss = torch.where(mask, per_token * weights, 0.0).sum()
    return loss, _metrics(terms, metrics)


def _policy_term(
    name: str, kind: Kind, terms: Terms, policy_mask: Tensor | None, options: Mapping[str, Any]
) -> surrogates.Loss:
    """The surrogate loss of each token, with the sampler's correction, 0 outside `policy_mask`."""
    per_token, metrics = registry.call("loss", name, kind.surrogate, {"terms": terms}, options)
    if terms.correction is not None and not kind.takes_correction:
        per_token = per_token * terms.correction
    if policy_mask is not None:
        return per_token * policy_mask, {**metrics, "policy/tokens": policy_mask}
    return per_token, metrics


def _kind(name: str) -> Kind:
    found = registry.resolve("loss", name, KINDS)
    return found if isinstance(found, Kind) else Kind(found)


def _terms(
    logps: Tensor,
    old_logps: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    level: str,
    correction: Tensor | None,
    clip_low: float | None,
    clip_high: float | None,
    clip_dual: float | None,
) -> Terms:
    """Everything 0 outside the mask before it is exponentiated: 0 · inf would reach the gradient as NaN."""
    logps = torch.where(mask, logps, 0.0)
    log_ratio = logps - (logps if old_logps is None else torch.where(mask, old_logps, 0.0)).detach()
    return Terms(
        logps=logps,
        log_ratio=log_ratio,
        level_log_ratio=surrogates.log_ratio_at(level, logps, log_ratio, mask),
        advantages=advantages if advantages.dim() == 2 else advantages.unsqueeze(1),
        mask=mask,
        correction=correction,
        clip_low=clip_low,
        clip_high=clip_high,
        clip_dual=clip_dual,
    )


@torch.no_grad()
def _metrics(terms: Terms, extra: dict[str, Tensor]) -> dict[str, Tensor]:
    ratio = terms.ratio
    values = {"ratio/mean": ratio, "kl/old": k3(terms.log_ratio, torch.zeros_like(terms.log_ratio)), **extra}
    metrics = {name: masked_mean(value.detach().to(ratio.dtype), terms.mask) for name, value in values.items()}
    metrics["ratio/max"] = torch.where(terms.mask, ratio, 0.0).amax() if terms.mask.numel() else ratio.new_zeros(())
    metrics["tokens"] = terms.mask.sum()
    return metrics

"""Estimators of the divergence from the reference model, and a coefficient that keeps it at a target.

With d = log π(token) − log π_ref(token) on tokens sampled from π (J. Schulman, "Approximating KL Divergence", 2020):

| estimator | value | as a value | its gradient, where it is part of the loss |
|---|---|---|---|
| k1 | d | unbiased, may be negative | zero in expectation: it regularises in the reward only |
| abs | abs(d) | biased upwards | pulls each token to the reference at a constant rate |
| k2 | d² / 2 | biased | unbiased gradient of KL(π ‖ π_ref) on-policy |
| k3 | exp(−d) − 1 + d | unbiased, never negative | that of KL(π_ref ‖ π) in expectation, not of KL(π ‖ π_ref) |
| full | Σ_v π (log π − log π_ref) | exact | exact for each position, given the tokens before it |
"""

from dataclasses import dataclass

from torch import Tensor

from grpo_plugin.algorithms import registry

# The exponential of more than this is useless as a weight, and soon overflows.
EXPONENT_LIMIT = 20.0


def k1(logps: Tensor, ref_logps: Tensor) -> Tensor:
    return logps - ref_logps


def absolute(logps: Tensor, ref_logps: Tensor) -> Tensor:
    return (logps - ref_logps).abs()


def k2(logps: Tensor, ref_logps: Tensor) -> Tensor:
    return 0.5 * (logps - ref_logps).square()


def k3(logps: Tensor, ref_logps: Tensor) -> Tensor:
    difference = ref_logps - logps
    return difference.clamp(max=EXPONENT_LIMIT).exp() - difference - 1


def full(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """Both arguments (…, V): logits, or log-probabilities over the whole vocabulary, whose last axis is summed."""
    log_policy, log_reference = logps.log_softmax(-1), ref_logps.log_softmax(-1)
    return (log_policy.exp() * (log_policy - log_reference)).sum(-1)


ESTIMATORS = {"k1": k1, "abs": absolute, "k2": k2, "k3": k3, "full": full}


def kl(logps: Tensor, ref_logps: Tensor, estimator: str) -> Tensor:
    """Divergence of each token (B, T).

    Args:
        logps: (B, T) log-probabilities of the sampled tokens; for `full` (B, T, V) over the vocabulary.
        ref_logps: the same of the reference model; no gradient reaches it.
        estimator: k1, abs, k2, k3, full (see the module's table), or a dotted path to a function of the two.

    Raises:
        RecipeError: unknown estimator.
    """
    function = registry.resolve("kl_estimator", estimator, ESTIMATORS)
    result: Tensor = function(logps, ref_logps.detach())
    return result


@dataclass
class AdaptiveCoefficient:
    """A KL coefficient that is adapted so that the divergence reaches a target (arXiv 1909.08593, section 2.2).

    Attributes:
        value: the coefficient now.
        target: divergence to hold, in nats per token, as it is measured.
        horizon: completions over which an error of 20 % or more changes the coefficient by 20 %.
    """

    value: float
    target: float
    horizon: float

    def update(self, measured: float, completions: int) -> float:
        """Update the coefficient after a step of `completions`; it stays if `measured` is not finite."""
        error = min(max(measured / self.target - 1.0, -0.2), 0.2) if measured == measured else 0.0
        self.value *= 1.0 + error * completions / self.horizon
        return self.value

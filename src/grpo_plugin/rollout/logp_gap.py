"""The canary: vLLM's log-probabilities of the tokens it sampled against the trainer's for the same tokens.

It detects any failure of a weight sync, whatever the server answered.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from grpo_plugin.errors import RolloutError


@dataclass(frozen=True)
class Gap:
    """|log-probability of the trainer − that of vLLM|, in nats: `mean` and `max` over `tokens` completion tokens."""

    mean: float
    max: float
    tokens: int


def logp_gap(trainer_logps: Tensor, server_logps: Tensor, mask: Tensor) -> Gap:
    """The gap between two log-probabilities of the same tokens; all (B, T), `mask` non-zero on completion tokens.

    The mean divides by the number of such tokens. A log-probability that is NaN, or infinite on one side, makes both
    mean and max infinite. Without any token both are 0.
    """
    compared = mask.bool()
    ours, theirs = trainer_logps[compared].double(), server_logps[compared].double()
    difference = (ours - theirs).abs().nan_to_num(nan=math.inf, posinf=math.inf)
    if not difference.numel():
        return Gap(mean=0.0, max=0.0, tokens=0)
    return Gap(mean=difference.mean().item(), max=difference.max().item(), tokens=difference.numel())


def check(gap: Gap, limit: float, version: int | None = None) -> None:
    """Stop the run when the gap is too large; `limit` is rollout.max_logp_gap, `version` that of the weights.

    Raises:
        RolloutError: when the mean gap is over `limit`, or no token was compared.
    """
    weights = "the weights" if version is None else f"version {version} of the weights"
    if not gap.tokens:
        raise RolloutError(
            f"rollout.canary_samples: no completion token was there to compare vLLM with the trainer on {weights}; "
            "check that completions are not all masked."
        )
    if gap.mean > limit:
        raise RolloutError(
            f"rollout.max_logp_gap: vLLM and the trainer disagree on {weights} by {gap.mean:.3g} nats per token (mean "
            f"over {gap.tokens} tokens, max {gap.max:.3g}), over the limit of {limit:g}; usual causes: a sync that "
            "failed, another model or tokenizer on the server, a server in half precision or quantised (then raise "
            "rollout.max_logp_gap), or tied embeddings on a CPU server that this run did not start."
        )

"""The canary: vLLM's log-probabilities of the tokens it sampled against the trainer's for the same tokens.

It detects any failure of a weight sync, whatever the server answered.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from grpo_plugin.errors import RolloutError

FLOAT32_LIMIT, LIMIT = 1e-3, 0.1
"""rollout.max_logp_gap where the recipe sets none: where both sides compute in float32, and elsewhere."""

ROUNDING = 2e-6
"""Nats that rounding in float32 may add; a smaller gap says nothing about a later one."""

JUMP = 100.0
"""How many times the gap before the first update the one after it may be."""

_CAUSES = (
    "usual causes: a sync that failed, another model or tokenizer on the server, a server in half precision or "
    "quantised (then raise rollout.max_logp_gap), or tied embeddings on a CPU server that this run did not start (let "
    "the run start it, untie them as docs/reliability.md shows, or train with adapter: lora, which leaves them as they "
    "are)."
)


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
            f"over {gap.tokens} tokens, max {gap.max:.3g}), over the limit of {limit:g}; {_CAUSES}"
        )


def check_jump(before: Gap, after: Gap, version: int) -> None:
    """Stop the run when the first update of the weights raised the gap by orders, whatever the limit.

    Args:
        before: of the weights that the run began with.
        after: of the first ones that an update changed.

    Raises:
        RolloutError: the new weights did not all arrive.
    """
    times = after.mean / max(before.mean, ROUNDING)
    if times > JUMP:
        raise RolloutError(
            f"rollout: vLLM and the trainer disagree on version {version} of the weights, the first after an update, "
            f"by {after.mean:.3g} nats per token, {times:.0f} times as much as before it ({before.mean:.3g}), so the "
            f"new weights did not all arrive; {_CAUSES}"
        )

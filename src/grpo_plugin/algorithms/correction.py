"""Importance weights between the sampler (vLLM) and the trainer, whose log-probabilities of the same tokens differ."""

import torch
from torch import Tensor

from grpo_plugin.algorithms.averages import masked_mean
from grpo_plugin.algorithms.surrogates import LOG_RATIO_LIMIT
from grpo_plugin.errors import RecipeError

LEVELS = ("token", "sequence")
MODES = ("truncate", "mask")


@torch.no_grad()
def sampler_weights(
    logps: Tensor,
    sampler_logps: Tensor,
    mask: Tensor,
    *,
    level: str,
    mode: str,
    low: float | None,
    high: float | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """π_trainer / π_sampler at the time of sampling, kept within bounds.

    `token` is one ratio per token, of low variance and biased; `sequence` is the product over the completion.
    `truncate` holds a ratio at the bound it exceeds (truncated importance sampling); `mask` sets it to 0, so that the
    token or the completion has no gradient. Both are as TRL's `vllm_importance_sampling_mode` means them.

    Args:
        logps: (B, T) of the trainer's policy when it sampled.
        sampler_logps: (B, T) as the sampler returned them.
        mask: (B, T), true on completion tokens.

    Returns:
        Weights (B, T) or (B, 1) without gradient, 1 outside the mask, and metrics: mean weight, share that exceeded a
        bound, mean absolute difference of the log-probabilities.

    Raises:
        RecipeError: unknown level or mode, or no bound.
    """
    _check(level, mode, low, high)
    mask = mask.bool()
    difference = torch.where(mask, logps - sampler_logps, 0.0)
    log_ratio = difference if level == "token" else difference.sum(1, keepdim=True)
    ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    bounded = ratio.clamp(low, high)
    outside = bounded != ratio
    weights = bounded if mode == "truncate" else ratio.masked_fill(outside, 0.0)
    values = {"sampler/weight": weights, "sampler/outside": outside, "sampler/logp_gap": difference.abs()}
    return weights, {name: masked_mean(value.to(ratio.dtype), mask) for name, value in values.items()}


def _check(level: str, mode: str, low: float | None, high: float | None) -> None:
    for field, value, known in (("level", level, LEVELS), ("mode", mode, MODES)):
        if value not in known:
            raise RecipeError(f"algorithm.correction.{field}: unknown {value!r}; known are {', '.join(known)}.")
    if low is None and high is None:
        raise RecipeError("algorithm.correction: neither a low nor a high bound is set; set one, or turn it off.")

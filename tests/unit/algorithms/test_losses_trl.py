"""Equality with TRL 1.9: loss and gradient, in fp32, on a ragged batch, with and without a reference model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_plugin.algorithms.correction import sampler_weights
from grpo_plugin.algorithms.losses import policy_loss

from .conftest import Ragged, ragged
from .trl_oracle import trl_loss

CLIPS = {"clip_low": 0.2, "clip_high": 0.28}
TRL_CLIPS = {"epsilon_low": 0.2, "epsilon_high": 0.28}

# name: (TRL's settings, ours)
SHARED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"loss_type": "grpo"}, {"kind": "ppo", "average": "sequence"}),
    "bnpo": ({"loss_type": "bnpo"}, {"kind": "ppo", "average": "token"}),
    "dapo": ({"loss_type": "dapo"}, {"kind": "ppo", "average": "token", "denominator": 100.0}),
    "dr_grpo": ({"loss_type": "dr_grpo"}, {"kind": "ppo", "average": "constant", "constant": 32}),
    "delta": ({"loss_type": "grpo", "delta": 1.5}, {"kind": "ppo", "average": "sequence", "clip_dual": 1.5}),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        {"kind": "gspo", "average": "sequence"},
    ),
    "gspo_token": (
        {"trainer": "gspo_token", "loss_type": "grpo", "importance_sampling_level": "sequence_token"},
        {"kind": "gspo_token", "average": "sequence"},
    ),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.28},
        {"kind": "cispo", "average": "token", "denominator": 100.0, "clip_low": None},
    ),
    "cispo_sequence": (
        {"loss_type": "cispo", "epsilon_high": 1.28, "importance_sampling_level": "sequence"},
        {"kind": "cispo_sequence", "average": "token", "denominator": 100.0, "clip_low": None},
    ),
    "sapo": ({"loss_type": "sapo"}, {"kind": "sapo", "average": "sequence"}),
    "sapo_sequence": (
        {"loss_type": "sapo", "importance_sampling_level": "sequence"},
        {"kind": "sapo_sequence", "average": "sequence"},
    ),
    "vespo": ({"loss_type": "vespo"}, {"kind": "vespo", "average": "token", "denominator": 100.0}),
    "gmpo": ({"trainer": "gmpo"}, {"kind": "gmpo", "average": "sequence"}),
}


def compare(batch: Ragged, theirs: Tensor, ours: Tensor, name: str = "") -> None:
    if name == "gmpo":  # TRL counts the empty completion, whose geometric mean over nothing is 1, as a loss of −A
        theirs = theirs + batch.advantages[~batch.mask.any(1)].sum() / batch.mask.shape[0]
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    (our_gradient,) = torch.autograd.grad(ours, batch.logps)
    (their_gradient,) = torch.autograd.grad(theirs, batch.logps)
    assert torch.allclose(our_gradient, their_gradient, rtol=1e-6, atol=1e-6)
    assert our_gradient.abs().sum() > 0


def trl_inputs(batch: Ragged, **extra: Any) -> dict[str, Any]:
    inputs = {
        "completion_mask": batch.mask.float(),
        "advantages": batch.advantages,
        "old_per_token_logps": batch.old_logps,
    }
    return {**inputs, "ref_per_token_logps": batch.ref_logps, "num_items_in_batch": torch.tensor(100.0), **extra}


@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("name", sorted(SHARED))
def test_same_loss_and_gradient(name: str, beta: float, batch32: Ragged) -> None:
    settings, keywords = SHARED[name]
    theirs = trl_loss(batch32.logps, trl_inputs(batch32), **{**TRL_CLIPS, "beta": beta, **settings})
    ours, _ = policy_loss(
        batch32.logps,
        batch32.old_logps,
        batch32.advantages,
        batch32.mask,
        **{**CLIPS, "ref_logps": batch32.ref_logps, "kl_coef": beta, **keywords},
    )
    compare(batch32, theirs, ours, name)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_on_policy_without_old_log_probabilities(name: str, batch32: Ragged) -> None:
    settings, keywords = SHARED[name]
    inputs = {**trl_inputs(batch32), "old_per_token_logps": None}
    theirs = trl_loss(batch32.logps, inputs, **{**TRL_CLIPS, **settings})
    ours, _ = policy_loss(batch32.logps, None, batch32.advantages, batch32.mask, **{**CLIPS, **keywords})
    compare(batch32, theirs, ours, name)


def test_luspo(batch32: Ragged) -> None:
    theirs = trl_loss(
        batch32.logps, trl_inputs(batch32), loss_type="luspo", importance_sampling_level="sequence", **TRL_CLIPS
    )
    ours, _ = policy_loss(
        batch32.logps, batch32.old_logps, batch32.advantages, batch32.mask, kind="luspo", average="sequence", **CLIPS
    )
    compare(batch32, theirs, ours)


def test_luspo_with_a_reference_where_nothing_is_padded() -> None:
    """TRL averages luspo's KL over padding too, so the two agree only on completions of equal length."""
    batch = ragged(torch.float32)
    full = torch.ones_like(batch.mask)
    settings = {"loss_type": "luspo", "importance_sampling_level": "sequence", "beta": 0.04, **TRL_CLIPS}
    theirs = trl_loss(batch.logps, {**trl_inputs(batch), "completion_mask": full.float()}, **settings)
    ours, _ = policy_loss(
        batch.logps,
        batch.old_logps,
        batch.advantages,
        full,
        kind="luspo",
        average="sequence",
        ref_logps=batch.ref_logps,
        kl_coef=0.04,
        **CLIPS,
    )
    compare(batch, theirs, ours)


@pytest.mark.parametrize("name", ["grpo", "cispo", "vespo", "gspo"])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("mode", ["truncate", "mask"])
def test_correction_for_the_sampler(name: str, level: str, mode: str, batch32: Ragged) -> None:
    settings, keywords = SHARED[name]
    sampler_logps = ragged(torch.float32, seed=1).old_logps
    ratio = trl_correction(batch32.old_logps, sampler_logps, batch32.mask, f"{level}_{mode}")
    inputs = trl_inputs(batch32, importance_sampling_ratio=ratio)
    theirs = trl_loss(batch32.logps, inputs, **{**TRL_CLIPS, "use_vllm": True, **settings})
    weights, _ = sampler_weights(
        batch32.old_logps, sampler_logps, batch32.mask, level=level, mode=mode, low=None, high=3.0
    )
    assert torch.allclose(weights, ratio)
    ours, _ = policy_loss(
        batch32.logps,
        batch32.old_logps,
        batch32.advantages,
        batch32.mask,
        **{**CLIPS, "correction": weights, **keywords},
    )
    compare(batch32, theirs, ours)


def trl_correction(old_logps: Tensor, sampler_logps: Tensor, mask: Tensor, mode: str) -> Tensor:
    """As in `GRPOTrainer._generate_and_score_completions`, which cannot be called by parts; its default bounds."""
    difference = (old_logps - sampler_logps) * mask
    ratio = torch.exp(difference.sum(-1, keepdim=True) if mode.startswith("sequence") else difference)
    return ratio.clamp(max=3.0) if mode.endswith("truncate") else ratio.masked_fill(ratio > 3.0, 0.0)

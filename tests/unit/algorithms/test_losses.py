import math
from typing import Any

import pytest
import torch
from torch import Tensor

from grpo_plugin.algorithms.averages import AVERAGES
from grpo_plugin.algorithms.correction import sampler_weights
from grpo_plugin.algorithms.losses import KINDS, policy_loss
from grpo_plugin.algorithms.overlong import soft_penalty
from grpo_plugin.algorithms.surrogates import Terms
from grpo_plugin.errors import RecipeError

from .conftest import Ragged

CLIPS = {"clip_low": 0.2, "clip_high": 0.28}
DETACHED = {
    "cispo",
    "cispo_sequence",
    "vespo",
    "gspo_token",
}  # their value is not what their gradient is the derivative of


def loss_of(ratios: list[list[float]], advantages: list[float], **keywords: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of completions with these ratios; NaN pads. The policy's log-probability is that of the ratio."""
    ratio = torch.tensor(ratios, dtype=torch.float64)
    mask = ~ratio.isnan()
    return policy_loss(
        ratio.log(), torch.zeros_like(ratio), torch.tensor(advantages).double(), mask, **{**CLIPS, **keywords}
    )


def geometric(*ratios: float) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


@pytest.mark.parametrize(
    ("kind", "advantage", "expected"),
    [
        ("ppo", 1.0, -(1.28 + 0.5) / 2),
        ("ppo", -1.0, (1.5 + 0.8) / 2),
        ("gspo", 1.0, -geometric(1.5, 0.5)),
        ("gspo", -1.0, geometric(1.5, 0.5)),
        ("gspo_token", 1.0, -geometric(1.5, 0.5)),
        ("luspo", 1.0, -2 * geometric(1.5, 0.5)),
        ("cispo", 1.0, -(1.28 * math.log(1.5) + 0.8 * math.log(0.5)) / 2),
        ("cispo_sequence", 1.0, -max(geometric(1.5, 0.5), 0.8) * (math.log(1.5) + math.log(0.5)) / 2),
        ("sapo_sequence", 1.0, -4 / (1 + math.exp(1 - geometric(1.5, 0.5)))),
        ("reinforce", 2.0, -(math.log(1.5) + math.log(0.5))),
        ("sapo", 1.0, -4 * (1 / (1 + math.exp(-0.5)) + 1 / (1 + math.exp(0.5))) / 2),
        ("sapo", -1.0, 4 / 1.05 * (1 / (1 + math.exp(-0.525)) + 1 / (1 + math.exp(0.525))) / 2),
        ("gmpo", 1.0, -geometric(math.exp(0.28), 0.5)),
        ("gmpo", -1.0, geometric(1.5, math.exp(-0.2))),
        ("vespo", 1.0, -(0.75**2) * math.exp(3 * 0.25) * math.log(0.75) / 2),
        ("vespo", -1.0, 0.75**3 * math.exp(2 * 0.25) * math.log(0.75) / 2),
    ],
)
def test_hand_worked_on_ratios_of_one_and_a_half_and_a_half(kind: str, advantage: float, expected: float) -> None:
    loss, _ = loss_of([[1.5, 0.5]], [advantage], kind=kind, average="sequence")
    assert loss.item() == pytest.approx(expected)


def test_dual_clip_bounds_what_a_negative_advantage_can_do() -> None:
    loss, metrics = loss_of([[10.0, 2.0]], [-1.0], kind="ppo", clip_dual=3.0)
    assert loss.item() == pytest.approx((3.0 + 2.0) / 2)
    assert metrics["clip/dual"].item() == 0.5
    assert loss_of([[10.0]], [1.0], kind="ppo", clip_dual=3.0)[0].item() == pytest.approx(-1.28)


def test_a_missing_bound_does_not_clip() -> None:
    assert loss_of([[5.0]], [1.0], kind="ppo", clip_high=None)[0].item() == pytest.approx(-5.0)
    assert loss_of([[5.0]], [1.0], kind="ppo", clip_low=None, clip_high=None)[0].item() == pytest.approx(-5.0)
    assert loss_of([[0.01]], [-1.0], kind="ppo", clip_low=None)[0].item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("average", "expected"),
    [("token", -(1 + 1 + 2 * 1) / 3), ("sequence", -(1 + 2) / 2), ("constant", -(2 + 2) / (2 * 8))],
)
def test_averages_by_hand(average: str, expected: float) -> None:
    """Two completions of two and one tokens, advantages 1 and 2, ratio 1."""
    loss, _ = loss_of([[1.0, 1.0], [1.0, math.nan]], [1.0, 2.0], kind="ppo", average=average, constant=8)
    assert loss.item() == pytest.approx(expected)


def test_metrics_by_hand() -> None:
    _, metrics = loss_of([[1.5, 0.5], [1.0, math.nan]], [1.0, -1.0], kind="ppo", ref_logps=torch.zeros(2, 2).double())
    assert metrics["tokens"].item() == 3
    assert metrics["ratio/mean"].item() == pytest.approx(1.0)
    assert metrics["ratio/max"].item() == pytest.approx(1.5)
    assert metrics["clip/high"].item() == pytest.approx(1 / 3)
    assert metrics["clip/low"].item() == 0.0
    k3 = sum(1 / r - 1 + math.log(r) for r in (1.5, 0.5)) / 3
    assert metrics["kl/old"].item() == pytest.approx(k3)
    assert metrics["kl/ref"].item() == pytest.approx(k3)
    assert not any(value.requires_grad for value in metrics.values())


@pytest.mark.parametrize("kind", sorted(set(KINDS) - DETACHED))
@pytest.mark.parametrize("average", AVERAGES)
def test_gradient_matches_finite_differences(kind: str, average: str, batch64: Ragged) -> None:
    def value(logps: Tensor) -> Tensor:
        loss, _ = policy_loss(
            logps,
            batch64.old_logps,
            batch64.advantages,
            batch64.mask,
            kind=kind,
            average=average,
            constant=9,
            ref_logps=batch64.ref_logps,
            kl_coef=0.1,
            clip_dual=2.0,
            **CLIPS,
        )
        return loss

    assert torch.autograd.gradcheck(value, batch64.logps)


@pytest.mark.parametrize("kind", sorted(DETACHED))
def test_gradient_of_a_detached_weight_is_weight_times_advantage(kind: str, batch64: Ragged) -> None:
    loss, _ = policy_loss(
        batch64.logps, batch64.old_logps, batch64.advantages, batch64.mask, kind=kind, **CLIPS, denominator=1.0
    )
    (gradient,) = torch.autograd.grad(loss, batch64.logps)
    advantages = batch64.advantages.unsqueeze(1)
    log_ratio = torch.where(batch64.mask, (batch64.logps - batch64.old_logps).detach(), 0.0)
    if kind == "cispo":
        weight = log_ratio.exp().clamp(0.8, 1.28)
    elif kind == "vespo":
        w = log_ratio.sum(1, keepdim=True).exp()
        weight = torch.where(advantages >= 0, w**2 * torch.exp(3 - 3 * w), w**3 * torch.exp(2 - 2 * w))
    else:
        weight = (log_ratio.sum(1, keepdim=True) / batch64.mask.sum(1, keepdim=True).clamp(min=1)).exp()
        if kind == "cispo_sequence":
            weight = weight.clamp(0.8, 1.28)
        held = ((weight > 1.28) & (advantages > 0)) | ((weight < 0.8) & (advantages < 0))
        weight = weight.masked_fill(held, 0.0)
    assert torch.allclose(gradient, torch.where(batch64.mask, -weight * advantages, 0.0))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_on_policy_every_kind_but_luspo_is_the_policy_gradient(kind: str, batch64: Ragged) -> None:
    """At ratio 1 all gradients are −A / (tokens · B) on a sequence average; luspo's are that times the tokens."""
    loss, _ = policy_loss(batch64.logps, None, batch64.advantages, batch64.mask, kind=kind, average="sequence", **CLIPS)
    (gradient,) = torch.autograd.grad(loss, batch64.logps)
    lengths = batch64.mask.sum(1, keepdim=True).clamp(min=1)
    weight = 1 / 6 if kind == "luspo" else 1 / (6 * lengths)
    assert torch.allclose(gradient, torch.where(batch64.mask, -batch64.advantages.unsqueeze(1) * weight, 0.0))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_same_step_however_it_is_split(kind: str, average: str, size: int, batch64: Ragged) -> None:
    def gradient(parts: list[slice]) -> Tensor:
        denominator = batch64.mask.sum() if average == "token" else 6.0
        loss = torch.zeros((), dtype=torch.float64)
        for rows in parts:
            logps, old, ref, advantages, mask = (tensor[rows] for tensor in batch64)
            keywords = {**CLIPS, "average": average, "denominator": denominator, "constant": 9}
            loss = (
                loss + policy_loss(logps, old, advantages, mask, kind=kind, ref_logps=ref, kl_coef=0.1, **keywords)[0]
            )
        return torch.autograd.grad(loss, batch64.logps)[0]

    whole = gradient([slice(0, 6)])
    assert torch.allclose(gradient([slice(at, at + size) for at in range(0, 6, size)]), whole, atol=1e-14)


@pytest.mark.parametrize("average", AVERAGES)
def test_where_processes_average_their_gradients_each_takes_its_share_of_the_denominator(
    average: str, batch64: Ragged
) -> None:
    """Two ranks of three completions each, in DDP: their mean gradient is the whole step's."""

    def gradient(rows: slice, denominator: float) -> Tensor:
        logps, old, _, advantages, mask = (tensor[rows] for tensor in batch64)
        keywords = {**CLIPS, "average": average, "denominator": denominator, "constant": 9}
        loss, _ = policy_loss(logps, old, advantages, mask, kind="ppo", **keywords)
        return torch.autograd.grad(loss, batch64.logps)[0]

    whole = float(batch64.mask.sum()) if average == "token" else 6.0
    ranks = [gradient(rows, whole / 2) for rows in (slice(0, 3), slice(3, 6))]
    assert torch.allclose(sum(ranks) / 2, gradient(slice(0, 6), whole), atol=1e-14)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("average", AVERAGES)
def test_padding_may_hold_anything(kind: str, average: str, batch64: Ragged) -> None:
    def result(padding: float) -> tuple[Tensor, Tensor]:
        logps = batch64.logps.detach().masked_fill(~batch64.mask, padding).requires_grad_()
        old = batch64.old_logps.masked_fill(~batch64.mask, -padding)
        loss, _ = policy_loss(
            logps,
            old,
            batch64.advantages,
            batch64.mask,
            kind=kind,
            average=average,
            constant=9,
            ref_logps=old,
            kl_coef=0.1,
            **CLIPS,
        )
        return loss, torch.autograd.grad(loss, logps)[0]

    for calm, wild in zip(result(0.0), result(-1e30), strict=True):
        assert torch.equal(calm, wild)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("average", AVERAGES)
def test_all_truncated_is_a_loss_of_zero_that_can_be_differentiated(kind: str, average: str, batch64: Ragged) -> None:
    mask = torch.zeros_like(batch64.mask)
    loss, metrics = policy_loss(
        batch64.logps, batch64.old_logps, batch64.advantages, mask, kind=kind, average=average, constant=9, **CLIPS
    )
    (gradient,) = torch.autograd.grad(loss, batch64.logps)
    assert loss.item() == 0.0
    assert not gradient.any()
    assert all(value.isfinite() for value in metrics.values())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_policy_far_away_stays_finite(kind: str) -> None:
    logps = torch.tensor([[-1e3, 0.0]], requires_grad=True)
    loss, metrics = policy_loss(
        logps, torch.tensor([[0.0, -1e3]]), torch.tensor([-1.0]), torch.ones(1, 2), kind=kind, **CLIPS
    )
    (gradient,) = torch.autograd.grad(loss, logps)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert all(value.isfinite() for value in metrics.values())


def test_tokens_outside_the_policy_mask_keep_their_kl_and_their_share_of_the_mean() -> None:
    """By hand: four tokens of advantage 1 on-policy lose 1 each, two of them masked; the KL (k2) of each is 0.5."""
    logps = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    loss, metrics = policy_loss(
        logps,
        None,
        torch.tensor([1.0], dtype=torch.float64),
        torch.ones(1, 4),
        kind="ppo",
        ref_logps=torch.ones(1, 4, dtype=torch.float64),
        kl_coef=1.0,
        kl_estimator="k2",
        policy_mask=torch.tensor([[True, False, True, False]]),
        **CLIPS,
    )
    assert loss.item() == pytest.approx((-2.0 + 4 * 0.5) / 4)
    assert metrics["policy/tokens"].item() == 0.5
    (gradient,) = torch.autograd.grad(loss, logps)
    assert gradient.tolist() == [pytest.approx([-0.5, -0.25, -0.5, -0.25])]


def test_per_token_advantages_are_used_token_by_token() -> None:
    logps = torch.zeros(1, 2, requires_grad=True)
    loss, _ = policy_loss(logps, None, torch.tensor([[1.0, -3.0]]), torch.ones(1, 2), kind="ppo", **CLIPS)
    assert torch.autograd.grad(loss, logps)[0].tolist() == [[-0.5, 1.5]]


def test_kl_values_computed_elsewhere_take_the_place_of_an_estimator(batch64: Ragged) -> None:
    rows = (batch64.logps, batch64.old_logps, batch64.advantages, batch64.mask)
    values = 0.5 * (batch64.logps - batch64.ref_logps).square()
    given, _ = policy_loss(*rows, kind="ppo", kl_values=values, kl_coef=0.1, **CLIPS)
    estimated, _ = policy_loss(*rows, kind="ppo", ref_logps=batch64.ref_logps, kl_estimator="k2", kl_coef=0.1, **CLIPS)
    assert torch.allclose(given, estimated)


def test_sampler_weights_by_hand() -> None:
    logps = torch.tensor([[2.0, 0.5, 7.0], [0.25, 4.0, 1.0]]).log()
    sampler = torch.zeros(2, 3)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    token, metrics = sampler_weights(logps, sampler, mask, level="token", mode="truncate", low=0.5, high=3.0)
    assert token.flatten().tolist() == pytest.approx([2.0, 0.5, 1.0, 0.5, 3.0, 1.0])
    assert metrics["sampler/outside"].item() == pytest.approx(2 / 5)
    masked, _ = sampler_weights(logps, sampler, mask, level="token", mode="mask", low=0.5, high=3.0)
    assert masked.flatten().tolist() == pytest.approx([2.0, 0.5, 1.0, 0.0, 0.0, 1.0])
    sequence, metrics = sampler_weights(logps, sampler, mask, level="sequence", mode="mask", low=None, high=0.99)
    assert sequence.flatten().tolist() == [0.0, 0.0]
    assert metrics["sampler/outside"].item() == 1.0


def test_soft_overlong_penalty_falls_along_the_buffer() -> None:
    penalties = [soft_penalty(length, max_length=100, buffer=20) for length in (0, 80, 81, 90, 100, 120)]
    assert penalties == pytest.approx([0, 0, -0.05, -0.5, -1, -1])


def linear(terms: Terms, slope: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
    return -slope * terms.advantages * terms.ratio, {"mine": terms.ratio}


def test_a_users_own_surrogate_by_dotted_path() -> None:
    loss, metrics = loss_of([[1.5, 0.5]], [1.0], kind=f"{__name__}.linear", slope=3.0)
    assert loss.item() == pytest.approx(-3.0)
    assert metrics["mine"].item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"kind": "pppo"}, "algorithm.loss: unknown name 'pppo'; did you mean 'ppo'"),
        ({"kind": "sapo", "tau": 1.0}, "'sapo' has no option 'tau'; its options: temperature_neg, temperature_pos"),
        ({"kind": "ppo", "average": "tokens"}, "unknown average 'tokens'; known are token, sequence, constant"),
        ({"kind": "ppo", "average": "constant"}, "'constant' needs a positive constant, got None"),
    ],
)
def test_mistakes_are_one_sentence(keywords: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        loss_of([[1.0]], [1.0], **keywords)


def test_mistakes_about_bounds_are_one_sentence() -> None:
    zeros, mask = torch.zeros(1, 1), torch.ones(1, 1)
    with pytest.raises(RecipeError, match="neither a low nor a high bound is set"):
        sampler_weights(zeros, zeros, mask, level="token", mode="mask", low=None, high=None)
    with pytest.raises(RecipeError, match="unknown 'tokens'; known are token, sequence"):
        sampler_weights(zeros, zeros, mask, level="tokens", mode="mask", low=None, high=2.0)
    with pytest.raises(RecipeError, match="overlong buffer: 0 tokens; choose 1 to 10"):
        soft_penalty(1, 10, 0)

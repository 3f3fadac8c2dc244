import math

import pytest
import torch

from grpo_plugin.algorithms.kl import ESTIMATORS, AdaptiveCoefficient, kl
from grpo_plugin.errors import RecipeError


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("k1", [0.5, -0.5]),
        ("abs", [0.5, 0.5]),
        ("k2", [0.125, 0.125]),
        ("k3", [math.exp(-0.5) - 1 + 0.5, math.exp(0.5) - 1 - 0.5]),
    ],
)
def test_hand_worked(estimator: str, expected: list[float]) -> None:
    logps, ref = torch.tensor([[-1.0, -1.5]]).double(), torch.tensor([[-1.5, -1.0]]).double()
    assert kl(logps, ref, estimator)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_zero_for_equal_models_and_gradients_match_finite_differences(estimator: str) -> None:
    torch.manual_seed(0)
    shape = (2, 3, 5) if estimator == "full" else (2, 3)
    logps, ref = torch.randn(shape).double().requires_grad_(), torch.randn(shape).double()
    assert kl(logps.detach(), logps.detach(), estimator).abs().max() < 1e-15
    assert torch.autograd.gradcheck(lambda x: kl(x, ref, estimator), logps)


def test_no_gradient_reaches_the_reference() -> None:
    ref = torch.zeros(1, 2, requires_grad=True)
    assert not kl(torch.ones(1, 2), ref, "k3").requires_grad


def test_full_is_the_expectation_that_k1_and_k3_sample() -> None:
    torch.manual_seed(0)
    policy, ref = torch.randn(6).double().log_softmax(0), torch.randn(6).double().log_softmax(0)
    exact = kl(policy, ref, "full")
    for estimator in ("k1", "k3"):
        assert (policy.exp() * kl(policy, ref, estimator)).sum().item() == pytest.approx(exact.item())


@pytest.mark.parametrize(("estimator", "unbiased"), [("k1", False), ("k2", True), ("k3", False)])
def test_which_estimators_gradient_in_the_loss_is_that_of_the_divergence(estimator: str, unbiased: bool) -> None:
    """Expectation over tokens of the estimator's gradient, against the gradient of the exact divergence."""
    torch.manual_seed(0)
    logits, ref = torch.randn(6).double().requires_grad_(), torch.randn(6).double().log_softmax(0)
    (exact,) = torch.autograd.grad(kl(logits, ref, "full"), logits)
    logps = logits.log_softmax(0)
    (sampled,) = torch.autograd.grad((logps.exp().detach() * kl(logps, ref, estimator)).sum(), logits)
    assert torch.allclose(sampled, exact) is unbiased
    if estimator == "k1":
        assert sampled.abs().max() < 1e-12


def test_k3_of_a_vanished_probability_stays_finite() -> None:
    logps = torch.tensor([-1e4], requires_grad=True)
    value = kl(logps, torch.tensor([0.0]), "k3")
    value.backward()
    assert value.isfinite()
    assert logps.grad is not None
    assert logps.grad.isfinite()


def test_unknown_estimator_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="unknown name 'k33'; did you mean 'k3'"):
        kl(torch.zeros(1), torch.zeros(1), "k33")


def test_adaptive_coefficient_moves_by_the_clipped_error() -> None:
    coefficient = AdaptiveCoefficient(value=0.1, target=2.0, horizon=1000.0)
    assert coefficient.update(2.2, completions=100) == pytest.approx(0.1 * (1 + 0.1 * 0.1))
    coefficient.value = 0.1
    assert coefficient.update(50.0, completions=1000) == pytest.approx(0.12)
    coefficient.value = 0.1
    assert coefficient.update(0.0, completions=1000) == pytest.approx(0.08)
    coefficient.value = 0.1
    assert coefficient.update(math.nan, completions=1000) == 0.1
    assert coefficient.update(math.inf, completions=1000) == pytest.approx(0.12)

import pytest
import torch

from grpo_plugin.algorithms import groups
from grpo_plugin.errors import RecipeError

NAN = float("nan")


def test_equal_rewards_that_are_not_exact_in_binary_carry_no_signal() -> None:
    rewards = torch.tensor([0.1 + 0.2, 0.3, 0.3, 0.3])
    assert not groups.mixed(rewards, 4).any()


def test_a_spread_just_above_the_tolerance_is_a_signal() -> None:
    rewards = torch.tensor([1.0, 1.0 + 3e-6])
    assert groups.mixed(rewards, 2).item()
    assert not groups.mixed(rewards, 2, tolerance=1e-5).item()


def test_spread_leaves_out_unscorable_rewards() -> None:
    rewards = torch.tensor([0.0, NAN, 0.25, NAN, NAN, 1.0, NAN, NAN, NAN])
    assert groups.spread(rewards, 3).tolist() == [0.25, 0.0, 0.0]


def test_signal_counts_every_group_once() -> None:
    rewards = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 1.0, NAN, NAN, NAN, 1.0])
    assert groups.signal(rewards, 2) == pytest.approx((0.4, 0.2, 0.2, 0.2))


def test_right_is_what_exceeds_the_threshold() -> None:
    rewards = torch.tensor([0.1, 0.1])
    assert groups.signal(rewards, 2).all_wrong == 1.0
    assert groups.signal(rewards, 2, right=0.05).all_right == 1.0


def test_informative_is_mixed_without_bounds_and_between_them_with_bounds() -> None:
    rewards = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.5])
    assert groups.informative(rewards, 2).tolist() == [False, False, True, False]
    assert groups.informative(rewards, 2, low=0.01, high=0.99).tolist() == [False, False, True, True]
    assert groups.informative(rewards, 2, low=0.01).tolist() == [True, False, True, True]


def test_an_unscorable_group_is_never_kept() -> None:
    rewards = torch.tensor([NAN, NAN])
    assert not groups.informative(rewards, 2).any()
    assert not groups.informative(rewards, 2, low=-1.0).any()


def test_uneven_groups_are_refused() -> None:
    with pytest.raises(RecipeError, match="5 completions do not fall into groups of 2"):
        groups.split(torch.zeros(5), 2)

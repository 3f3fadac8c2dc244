import math
from typing import Any

import pytest
import torch
from torch import Tensor
from trl.trainer.utils import nanstd

from grpo_plugin.algorithms.advantages import ESTIMATORS, compute
from grpo_plugin.errors import RecipeError

NAN = float("nan")
GROUPED = ["grpo", "grpo_batch", "dr_grpo", "rloo", "grpo_passk", "gdpo", "reinforce_plus_plus_baseline"]


def advantages(name: str, rewards: list[float], group_size: int, **options: Any) -> Tensor:
    """In double precision, for completions of 3 tokens each unless a mask is given."""
    values = torch.tensor(rewards, dtype=torch.float64)
    mask = options.pop("mask", torch.ones(len(rewards), 3, dtype=torch.bool))
    if name == "gdpo":
        options.setdefault("rewards_per_function", values.unsqueeze(1))
    if name == "remax":
        options.setdefault("baselines", torch.zeros_like(values))
    return compute(name, rewards=values, group_size=group_size, mask=mask, **options)


STD = math.sqrt(1 / 3)  # of 1, 0, 0, 1, with Bessel's correction
WHITE = math.sqrt(12 * 0.25 / 11)  # of four completions of three tokens each


@pytest.mark.parametrize(
    ("name", "rewards", "expected"),
    [
        ("grpo", [1, 0, 0, 1], [0.5 / (STD + 1e-4), -0.5 / (STD + 1e-4)]),
        ("grpo_batch", [1, 0, 0, 1], [0.5 / (STD + 1e-4), -0.5 / (STD + 1e-4)]),
        ("dr_grpo", [1, 0, 0, 1], [0.5, -0.5]),
        ("rloo", [1, 0, 0, 1], [1 - 1 / 3, -2 / 3]),
        ("reinforce", [1, 0, 0, 1], [1.0, 0.0]),
        ("reinforce_baseline", [1, 0, 0, 1], [0.5, -0.5]),
        ("reinforce_plus_plus", [1, 0, 0, 1], [0.5 / WHITE, -0.5 / WHITE]),
        ("reinforce_plus_plus_baseline", [1, 0, 0, 1], [0.5 / WHITE, -0.5 / WHITE]),
        ("grpo_passk", [1, 0, 0.5, 0.25], [0.5 / (torch.tensor([1, 0, 0.5, 0.25]).std().item() + 1e-4), 0.0]),
    ],
)
def test_hand_worked_first_two_of_a_group_of_four(name: str, rewards: list[float], expected: list[float]) -> None:
    assert advantages(name, rewards, 4)[:2].tolist() == pytest.approx(expected, rel=1e-6)


def test_remax_subtracts_the_greedy_reward() -> None:
    baselines = torch.tensor([0.5, 0.5, 1.0, NAN]).double()
    result = advantages("remax", [1.0, 0.0, NAN, 1.0], 2, baselines=baselines)
    assert result.tolist() == [0.5, -0.5, 0.0, 0.0]


def test_passk_rewards_only_a_lone_best_completion() -> None:
    assert advantages("grpo_passk", [1, 1, 0, 0], 4).tolist() == [0, 0, 0, 0]
    assert advantages("grpo_passk", [0, 0, 1, 0], 4, scale=False).tolist() == [0, 0, 1, 0]
    assert advantages("grpo_passk", [NAN, 0, 1, 0.25], 4, scale=False).tolist() == [0, 0, 0.75, 0]


def test_gdpo_is_trls_normalize_then_sum() -> None:
    torch.manual_seed(0)
    per_function, weights = torch.rand(8, 3).double(), torch.tensor([1.0, 0.5, 2.0]).double()
    per_function[1, 0] = per_function[5, 2] = per_function[6, 0] = NAN
    grouped = per_function.view(2, 4, 3)
    scaled = (grouped - grouped.nanmean(1, keepdim=True)) / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)
    total = (scaled.view(8, 3) * weights).nansum(1)
    expected = (total - total.mean()) / (total.std() + 1e-4)
    result = compute(
        "gdpo",
        rewards=(per_function.nan_to_num() * weights).sum(1),
        group_size=4,
        mask=torch.ones(8, 2),
        rewards_per_function=per_function,
        reward_weights=weights,
    )
    assert torch.allclose(result, expected)


def test_grpo_and_rloo_are_trls_formulas_with_unscorable_rewards() -> None:
    torch.manual_seed(0)
    rewards = torch.rand(12).double()
    rewards[[2, 7, 8]] = NAN
    grouped = rewards.view(3, 4)
    centred = grouped - grouped.nanmean(1, keepdim=True)
    grpo = (centred / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)).flatten().nan_to_num()
    assert torch.allclose(advantages("grpo", rewards.tolist(), 4), grpo)
    others = (grouped.nansum(1, keepdim=True) - grouped) / ((~grouped.isnan()).sum(1, keepdim=True) - 1)
    assert torch.allclose(advantages("rloo", rewards.tolist(), 4), (grouped - others).flatten().nan_to_num())


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("rewards", [[0.1] * 4, [0.1 + 0.2, 0.3] * 2, [NAN] * 4, [NAN, NAN, NAN, 1.0]])
def test_groups_without_a_signal_have_no_advantage_at_all(name: str, rewards: list[float]) -> None:
    assert advantages(name, rewards, 4).tolist() == [0.0] * 4


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_an_unscorable_completion_neither_learns_nor_moves_the_others(name: str) -> None:
    with_nan = advantages(name, [1.0, 0.0, NAN, 1.0, 0.0, NAN], 3)
    without = advantages(name, [1.0, 0.0, 1.0, 0.0], 2)
    assert with_nan[[2, 5]].tolist() == [0.0, 0.0]
    assert with_nan[[0, 1, 3, 4]].tolist() == pytest.approx(without.tolist())


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_group_of_two(name: str) -> None:
    better, worse = advantages(name, [1.0, 0.0], 2).tolist()
    assert better > worse
    assert better > 0


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.parametrize(
    "mask", [torch.zeros(4, 3), torch.tensor([[1], [0], [1], [1]])], ids=["truncated", "one token"]
)
def test_all_truncated_one_token_and_empty_completions_stay_finite(name: str, mask: Tensor) -> None:
    assert advantages(name, [1.0, 0.0, 0.0, 1.0], 4, mask=mask).isfinite().all()


def test_reinforce_plus_plus_counts_tokens_not_completions() -> None:
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]]).bool()
    mean, deviation = 0.25, math.sqrt((0.75**2 + 3 * 0.25**2) / 3)
    result = advantages("reinforce_plus_plus", [1.0, 0.0], 1, mask=mask)
    assert result.tolist() == pytest.approx([(1 - mean) / deviation, -mean / deviation])


def test_reinforce_plus_plus_spreads_the_kl_over_the_tokens_before_it() -> None:
    """Returns by hand: 1 − 0.1·(1+2+3), 1 − 0.1·(2+3), 1 − 0.1·3, and 0 − 0.1·(4+5), 0 − 0.1·5."""
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    logps = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 99.0]]).double()
    result = advantages(
        "reinforce_plus_plus", [1.0, 0.0], 1, mask=mask, logps=logps, ref_logps=torch.zeros(2, 3), kl_coef=0.1
    )
    returns = torch.tensor([0.4, 0.5, 0.7, -0.9, -0.5]).double()
    expected = (returns - returns.mean()) / returns.std()
    assert torch.allclose(result[mask], expected, atol=1e-6)


def test_discount_skips_tokens_that_are_not_the_models() -> None:
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]]).bool()
    result = advantages("reinforce_plus_plus", [1.0, 0.0], 1, mask=mask, gamma=0.5)
    returns = torch.tensor([0.5, 1.0, 0.0, 0.0, 0.0]).double()
    assert torch.allclose(result[mask], (returns - returns.mean()) / returns.std(), atol=1e-6)


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce", "remax", "grpo_passk"])
def test_kl_in_the_reward_is_taken_off_the_reward_of_the_completion(name: str) -> None:
    mask = torch.tensor([[1, 1], [1, 0]]).bool()
    logps, ref = torch.tensor([[-1.0, -2.0], [-3.0, 7.0]]).double(), torch.tensor([[-1.5, -2.5], [-2.0, 0.0]]).double()
    penalised = advantages(name, [1.0, 0.0], 2, mask=mask, logps=logps, ref_logps=ref, kl_coef=0.1)
    assert torch.allclose(penalised, advantages(name, [0.9, 0.1], 2, mask=mask))


def test_kl_in_the_reward_needs_the_reference() -> None:
    with pytest.raises(RecipeError, match=r"kl_coef: 0\.1 in the reward needs"):
        advantages("grpo", [1.0, 0.0], 2, kl_coef=0.1)


def test_grpo_batch_divides_by_the_deviation_of_the_whole_batch() -> None:
    """TRL's `scale_rewards: batch`; rewards 1, 0 | 3, 1 have mean 1.25 and deviation √(4.75 / 3)."""
    deviation = math.sqrt(4.75 / 3) + 1e-4
    result = advantages("grpo_batch", [1.0, 0.0, 3.0, 1.0, NAN, NAN], 2)
    expected = [0.5 / deviation, -0.5 / deviation, 1 / deviation, -1 / deviation, 0, 0]
    assert result.tolist() == pytest.approx(expected)


def test_the_overlong_penalty_is_part_of_the_reward() -> None:
    penalties = torch.tensor([0.0, -0.5, 0.0, -1.0]).double()
    penalised = advantages("grpo", [1.0, 1.0, 0.0, 0.0], 4, overlong=penalties, overlong_factor=0.5)
    assert torch.equal(penalised, advantages("grpo", [1.0, 0.75, 0.0, -0.5], 4))


def test_gdpo_takes_the_overlong_penalty_as_one_more_reward() -> None:
    """Normalised in its group like the others, with the factor as its weight."""
    scores = torch.tensor([[1.0, 0.2], [0.0, 0.4], [1.0, 0.1], [NAN, 0.3]]).double()
    penalties = torch.tensor([0.0, -0.5, 0.0, -1.0]).double()
    rest = {"rewards": scores.nansum(1), "group_size": 4, "mask": torch.ones(4, 2)}
    given = compute("gdpo", rewards_per_function=scores, overlong=penalties, overlong_factor=0.5, **rest)
    column = compute(
        "gdpo",
        rewards_per_function=torch.cat([scores, penalties.unsqueeze(1)], 1),
        reward_weights=torch.tensor([1.0, 1.0, 0.5]).double(),
        **rest,
    )
    assert torch.equal(given, column)
    same = torch.ones(4, 2).double()
    short, long = compute("gdpo", rewards_per_function=same, overlong=penalties, **rest)[:2].tolist()
    assert short > 0 > compute("gdpo", rewards_per_function=same, overlong=penalties, **rest)[3].item()
    assert short > long


def test_gdpo_with_a_penalty_still_leaves_out_what_nothing_could_score() -> None:
    scores = torch.tensor([[1.0], [0.0], [NAN], [NAN]]).double()
    penalties = torch.tensor([0.0, 0.0, -1.0, -1.0]).double()
    result = compute(
        "gdpo",
        rewards=scores[:, 0],
        group_size=2,
        mask=torch.ones(4, 2),
        rewards_per_function=scores,
        overlong=penalties,
    )
    assert result[0] > 0 > result[1]
    assert result[2:].tolist() == [0.0, 0.0]


def test_kl_in_the_reward_that_cannot_reach_the_estimator_is_refused() -> None:
    zeros = torch.zeros(2, 3)
    with pytest.raises(RecipeError, match="does not reach advantage 'gdpo'; use 'loss'"):
        advantages("gdpo", [1.0, 0.0], 2, logps=zeros, ref_logps=zeros, kl_coef=0.1)


def test_reinforce_baseline_is_an_option_of_reinforce() -> None:
    by_option = advantages("reinforce", [1.0, 0.0, NAN], 3, batch_baseline=True)
    assert by_option.tolist() == advantages("reinforce_baseline", [1.0, 0.0, NAN], 3).tolist() == [0.5, -0.5, 0.0]


def halved(rewards: Tensor, strength: float = 0.5) -> Tensor:
    return rewards * strength


def sideways(rewards: Tensor) -> Tensor:
    return rewards[:1]


def infinite(rewards: Tensor) -> Tensor:
    return rewards / 0.0


def test_a_users_own_function_by_dotted_path() -> None:
    assert advantages(f"{__name__}.halved", [1.0, NAN], 2).tolist() == [0.5, 0.0]
    assert advantages(f"{__name__}.halved", [1.0, 0.0], 2, strength=2.0).tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("grpoo", {}, "algorithm.advantage: unknown name 'grpoo'; did you mean 'grpo'"),
        ("grpo", {"epsilonn": 1}, "'grpo' has no option 'epsilonn'; its options: epsilon, tolerance"),
        ("no.such.module", {}, "'no.such.module' cannot be imported"),
        ("grpo", {"group": 4}, "'grpo' has no option 'group'; its options: epsilon, tolerance"),
        ("grpo", {"rewards_per_function": None, "penalty": 1}, "'grpo' has no option 'penalty'"),
        ("remax", {"baselines": None}, "'remax' needs 'baselines', which this run does not have"),
        (f"{__name__}.STD", {}, "is a float; name a function"),
        (f"{__name__}.sideways", {}, r"returned shape \(1,\); return \(2,\) or \(2, 3\)"),
        (f"{__name__}.infinite", {}, "gave an advantage that is not finite"),
    ],
)
def test_mistakes_are_one_sentence(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        advantages(name, [1.0, 0.0], 2, **options)

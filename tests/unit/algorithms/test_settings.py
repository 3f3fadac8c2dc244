"""A preset and what a recipe overrides of it."""

from typing import get_args

import pytest

from grpo_plugin.algorithms.presets import PRESETS
from grpo_plugin.algorithms.settings import Algorithm, biased_sampling, of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig, AlgorithmName, Correction, DynamicSampling
from grpo_plugin.errors import RecipeError


def of(**block: object) -> Algorithm:
    return of_recipe(AlgorithmConfig.parse("algorithm", block), {})


def test_the_block_knows_every_preset():
    assert set(get_args(AlgorithmName)) == set(PRESETS)


def test_an_absent_key_is_the_presets_and_a_given_one_is_the_recipes():
    algorithm = of(name="dapo", clip_high=0.3, overlong="keep")
    assert (algorithm.preset.clip_low, algorithm.preset.clip_high) == (0.2, 0.3)
    assert (algorithm.preset.overlong, algorithm.preset.loss_average) == ("keep", "token")
    assert algorithm.filter == DynamicSampling()


def test_null_takes_a_bound_away_and_says_nothing_elsewhere():
    algorithm = of(name="grpo", clip_low=None, kl_coef=None, loss_average=None)
    assert algorithm.preset.clip_low is None
    assert (algorithm.preset.kl_coef, algorithm.preset.loss_average) == (0.04, "sequence")


@pytest.mark.parametrize(("given", "low"), [(True, None), ({"low": 0.1}, 0.1)])
def test_dynamic_sampling_may_be_switched_on(given, low):
    algorithm = of(name="grpo", dynamic_sampling=given)
    assert algorithm.filter is not None and algorithm.filter.low == low


def test_dynamic_sampling_may_be_switched_off():
    assert of(name="dapo", dynamic_sampling=False).filter is None


def test_correction_is_used_where_the_sampler_differs_or_where_it_is_asked_for():
    assert of().correction(differs=False) is None
    assert of().correction(differs=True) == Correction(level="token", mode="truncate", high=2.0)
    assert of(correction=False).correction(differs=True) is None
    assert of(correction={"level": "sequence"}).correction(differs=False) == Correction(level="sequence")


def test_a_soft_punishment_grows_over_a_fifth_as_in_dapo():
    assert of(name="dapo").buffer(20_480) == 4096
    assert of(name="dapo", overlong_buffer=7).buffer(20_480) == 7


@pytest.mark.parametrize(("key", "value"), [("beta", 0.1), ("loss_type", "dapo"), ("scale_rewards", False)])
def test_keys_of_trl_that_the_block_decides_are_refused(key, value):
    with pytest.raises(RecipeError, match=f"trl.{key}: is decided by the algorithm block"):
        of_recipe(AlgorithmConfig(), {key: value})


def test_terms_that_our_loss_lacks_are_refused():
    with pytest.raises(RecipeError, match=r"trl.entropy_coef: 0.01 is a term that the loss of these plugins lacks"):
        of_recipe(None, {"entropy_coef": 0.01})


@pytest.mark.parametrize(
    ("trl", "expected"),
    [
        ({}, {"loss": "ppo", "loss_average": "token", "clip_high": 0.2, "kl_coef": 0.0, "advantage": "grpo"}),
        ({"loss_type": "grpo", "beta": 0.1, "epsilon_high": 0.3}, {"kl_coef": 0.1, "clip_low": 0.2, "clip_high": 0.3}),
        ({"loss_type": "dr_grpo", "scale_rewards": "none"}, {"advantage": "dr_grpo", "loss_average": "constant"}),
        ({"loss_type": "cispo", "epsilon_high": 5.0}, {"loss": "cispo", "clip_high": 4.0, "dynamic_sampling": False}),
        ({"loss_type": "grpo", "importance_sampling_level": "sequence"}, {"loss": "gspo"}),
        ({"mask_truncated_completions": True}, {"overlong": "mask"}),
    ],
)
def test_without_a_block_the_keys_of_trl_keep_their_meaning(trl, expected):
    preset = of_recipe(None, trl).preset
    assert {name: getattr(preset, name) for name in expected} == expected


@pytest.mark.parametrize("trl", [{"top_p": 0.9}, {"top_k": 20}, {"min_p": 0.1}])
def test_truncated_sampling_is_warned_of(trl):
    (key,) = trl
    assert biased_sampling(trl).startswith(f"trl.{key}: {trl[key]} leaves out tokens")


def test_whole_sampling_is_not():
    assert biased_sampling({"top_p": 1.0, "top_k": 0, "min_p": None, "temperature": 0.7}) is None


def test_exact_kl_has_no_place_in_the_reward():
    with pytest.raises(RecipeError, match="kl_estimator 'full' has no place in the reward"):
        of(kl_estimator="full", kl_placement="reward")

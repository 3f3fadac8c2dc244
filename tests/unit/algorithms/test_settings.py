"""A preset and what a recipe overrides of it."""

import re
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


def test_a_soft_penalty_grows_over_a_fifth_as_in_dapo():
    assert of(name="dapo").buffer(20_480) == 4096
    assert of(name="dapo", overlong_buffer=7).buffer(20_480) == 7


@pytest.mark.parametrize(("key", "value"), [("beta", 0.1), ("loss_type", "dapo"), ("epsilon", 0)])
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
        ({"loss_type": "cispo", "epsilon": 0.3}, {"clip_low": None, "clip_high": 0.3 - 1.0}),
        ({"loss_type": "cispo", "importance_sampling_level": "sequence"}, {"loss": "cispo_sequence"}),
        ({"loss_type": "sapo", "importance_sampling_level": "sequence"}, {"loss": "sapo_sequence"}),
        ({"loss_type": "luspo", "importance_sampling_level": "sequence"}, {"loss": "luspo"}),
        ({"loss_type": "vespo", "importance_sampling_level": "sequence"}, {"loss": "vespo"}),
        ({"mask_truncated_completions": True}, {"overlong": "mask"}),
        ({"mask_truncated_completions": False, "beta": 0}, {"overlong": "keep", "kl_coef": 0.0}),
        ({"epsilon": 0}, {"clip_low": 0.0, "clip_high": 0.0}),
        ({"epsilon": 0.1, "epsilon_high": 0}, {"clip_low": 0.1, "clip_high": 0.0}),
        ({"scale_rewards": True}, {"advantage": "grpo"}),
        ({"scale_rewards": False}, {"advantage": "dr_grpo"}),
        ({"scale_rewards": "batch"}, {"advantage": "grpo_batch"}),
        ({"loss_type": "dr_grpo"}, {"advantage": "grpo"}),
        ({"multi_objective_aggregation": "normalize_then_sum", "scale_rewards": False}, {"advantage": "gdpo"}),
    ],
)
def test_without_a_block_the_keys_of_trl_keep_their_meaning(trl, expected):
    preset = of_recipe(None, trl).preset
    assert {name: getattr(preset, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("trl", "sentence"),
    [
        ({"loss_type": "gpro"}, "trl.loss_type: 'gpro' is not known; did you mean 'grpo'?"),
        ({"loss_type": "rloo"}, "trl.loss_type: 'rloo' is not known; known: grpo, bnpo, dr_grpo, dapo, cispo, sapo,"),
        ({"scale_rewards": "std"}, "trl.scale_rewards: 'std' is not known; known: group, batch, none, true, false."),
        ({"importance_sampling_level": "seq"}, "trl.importance_sampling_level: 'seq' is not known"),
        ({"top_entropy_quantile": 20}, "trl.top_entropy_quantile: expected a number over 0 and up to 1, got 20."),
    ],
)
def test_values_that_trl_does_not_know_are_refused(trl, sentence):
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        of_recipe(None, trl)


def test_scale_rewards_works_beside_the_block():
    dapo = AlgorithmConfig.parse("algorithm", {"name": "dapo"})
    found = {value: of_recipe(dapo, {"scale_rewards": value}).preset.advantage for value in ("batch", False, True)}
    assert found == {"batch": "grpo_batch", False: "dr_grpo", True: "grpo"}
    assert of(advantage="grpo_batch").preset.advantage == "grpo_batch"


@pytest.mark.parametrize("block", [{"name": "rloo"}, {"name": "gdpo"}, {"advantage": "grpo"}])
def test_a_scaling_that_contradicts_the_block_is_refused(block):
    with pytest.raises(RecipeError, match=r"trl.scale_rewards: 'batch' contradicts .* algorithm.advantage: grpo_batch"):
        of_recipe(AlgorithmConfig.parse("algorithm", block), {"scale_rewards": "batch"})


def test_the_share_of_tokens_by_entropy_comes_from_either_side_and_the_block_wins():
    trl = {"top_entropy_quantile": 0.2}
    assert of().entropy_share == 1.0
    assert of_recipe(None, trl).entropy_share == 0.2
    beside = of_recipe(AlgorithmConfig.parse("algorithm", {"name": "dapo", "clip_low": None}), trl)
    assert (beside.entropy_share, beside.preset.clip_low, beside.preset.overlong) == (0.2, None, "soft")
    assert of_recipe(AlgorithmConfig(top_entropy_quantile=0.5), trl).entropy_share == 0.5


@pytest.mark.parametrize(
    ("trl", "expected"),
    [
        ({}, None),
        ({"correction": False, "mode": "token_mask"}, None),
        ({"correction": True}, Correction(level="sequence", mode="mask", high=3.0)),
        ({"mode": "token_truncate", "cap": 2.5}, Correction(level="token", mode="truncate", high=2.5)),
        ({"clip_min": 0.0, "clip_max": 4.0}, Correction(level="sequence", mode="mask", low=0.0, high=4.0)),
    ],
)
def test_corrections_as_trl_names_them(trl, expected):
    algorithm = of_recipe(None, {f"vllm_importance_sampling_{key}": value for key, value in trl.items()})
    assert algorithm.correction(differs=False) == expected


@pytest.mark.parametrize("trl", [{"top_p": 0.9}, {"top_p": 0.0}, {"top_k": 20}, {"min_p": 0.1}])
def test_truncated_sampling_is_warned_of(trl):
    (key,) = trl
    assert biased_sampling(trl).startswith(f"trl.{key}: {trl[key]} leaves out tokens")


def test_whole_sampling_is_not():
    assert biased_sampling({"top_p": 1.0, "top_k": 0, "min_p": None, "temperature": 0.7}) is None
    assert biased_sampling({"min_p": 0.0, "top_k": -1}) is None


@pytest.mark.parametrize(
    "block",
    [{"kl_placement": "reward"}, {"name": "rloo"}, {"name": "remax"}, {"name": "reinforce_plus_plus"}],
    ids=lambda block: block.get("name", "grpo"),
)
def test_an_exact_kl_has_no_place_in_the_reward(block):
    with pytest.raises(RecipeError, match=r"algorithm\.kl_estimator: 'full' cannot be used in the reward"):
        of(kl_estimator="full", **block)
    assert not of(kl_estimator="full", kl_coef=0.0, **block).uses_reference
    assert of(**{**block, "kl_estimator": "full", "kl_placement": "loss"}).kl_in_loss


def test_a_kl_in_the_reward_that_gdpo_would_not_see_is_refused():
    with pytest.raises(RecipeError, match="'reward' does not reach advantage 'gdpo'"):
        of(name="rloo", advantage="gdpo")
    assert of(name="rloo", advantage="gdpo", kl_placement="loss").kl_in_loss


def blind(rewards_per_function):
    return rewards_per_function.sum(1)


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"name": "dapo"}, "algorithm.overlong: 'soft' does not reach advantage '.*blind'; use 'mask' or 'keep'"),
        ({"name": "rloo"}, "algorithm.kl_placement: 'reward' does not reach advantage '.*blind'; use 'loss'"),
    ],
)
def test_functions_that_cannot_see_what_the_recipe_asks_for_are_refused(block, sentence, tmp_path):
    with pytest.raises(RecipeError, match=sentence):
        of(**block, advantage=f"{__name__}.blind").check_names(tmp_path)
    of(advantage=f"{__name__}.blind").check_names(tmp_path)


def test_a_buffer_longer_than_a_completion_is_refused():
    with pytest.raises(RecipeError, match=r"algorithm\.overlong_buffer: 11 tokens; choose 1 to 10"):
        of(name="dapo", overlong_buffer=11).buffer(10)

import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError


def mistake(model, name, values) -> str:
    with pytest.raises(RecipeError) as caught:
        model.parse(name, values)
    return str(caught.value)


def test_unknown_key_names_the_nearest():
    assert mistake(RolloutConfig, "rollout", {"gpu": 1}) == "rollout.gpu: unknown key; did you mean 'gpus'?"


def test_unknown_key_far_from_all_lists_them():
    text = mistake(RolloutConfig, "rollout", {"zzzz": 1})
    assert text.startswith("rollout.zzzz: unknown key; known keys: gpus, python, url,")


def test_unknown_key_in_a_list_says_where_and_uses_the_inner_model():
    text = mistake(RewardsConfig, "rewards", {"functions": [{"function": "a.b"}, {"function": "c.d", "wieght": 2}]})
    assert text == "rewards.functions[1].wieght: unknown key; did you mean 'weight'?"


def test_wrong_value_names_field_and_value():
    assert mistake(RolloutConfig, "rollout", {"restarts": -1}) == (
        "rollout.restarts: input should be greater than or equal to 0, got -1."
    )


def test_missing_key():
    assert mistake(RewardsConfig, "rewards", {"functions": [{}]}).startswith("rewards.functions[0].function: required")


def test_a_block_must_be_a_mapping():
    assert mistake(RolloutConfig, "rollout", ["gpus"]).startswith("rollout: expected keys and values, got ['gpus']")


def test_conflicting_keys_are_told_in_one_sentence():
    text = mistake(RolloutConfig, "rollout", {"url": "http://h:1", "host": "127.0.0.1"})
    assert "'url'" in text and "'host'" in text and "\n" not in text


def test_an_absent_block_is_all_defaults():
    assert RolloutConfig.parse("rollout", None) == RolloutConfig()

import pytest

from grpo_plugin.config.blocks import BLOCKS
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
        "rollout.restarts: expected a whole number of 0 or more, got -1."
    )


@pytest.mark.parametrize(
    ("block", "values", "expected"),
    [
        ("algorithm", {"name": "gprp"}, "algorithm.name: unknown value 'gprp'; did you mean 'grpo'?"),
        ("algorithm", {"name": "zzzz"}, "algorithm.name: unknown value 'zzzz'; known: grpo, dr_grpo, bnpo, dapo,"),
        ("algorithm", {"dynamic_sampling": 3}, "algorithm.dynamic_sampling: expected true, false or its keys, got 3."),
        (
            "algorithm",
            {"dynamic_sampling": {"max_round": 3}},
            "algorithm.dynamic_sampling.max_round: unknown key; did you mean 'max_rounds'?",
        ),
        (
            "algorithm",
            {"correction": {"high": 0}},
            "algorithm.correction.high: expected a number over 0, got 0.",
        ),
        (
            "rewards",
            {"functions": [{"function": "a.b", "weight": float("nan")}]},
            "weight: expected a number, got nan.",
        ),
        ("rollout", {"lookahead": 3}, "rollout.lookahead: expected 0 or 1, got 3."),
        ("rollout", {"url": "host"}, "rollout.url: expected an address such as http://host:8000, got 'host'."),
        ("validation", {"greedy": "maybe"}, "validation.greedy: expected true or false, got 'maybe'."),
        ("validation", {"pass_at": [1, 0]}, "validation.pass_at[1]: expected a whole number of 1 or more, got 0."),
        ("validation", {"top_p": 1.5}, "validation.top_p: expected a number over 0 and up to 1, got 1.5."),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected(block, values, expected):
    assert expected in mistake(BLOCKS[block].model, block, values)


def test_missing_key():
    assert mistake(RewardsConfig, "rewards", {"functions": [{}]}).startswith("rewards.functions[0].function: required")


def test_a_block_must_be_a_mapping():
    assert mistake(RolloutConfig, "rollout", ["gpus"]).startswith("rollout: expected keys and values, got ['gpus']")


def test_conflicting_keys_are_told_in_one_sentence():
    text = mistake(RolloutConfig, "rollout", {"url": "http://h:1", "host": "127.0.0.1"})
    assert "'url'" in text and "'host'" in text and "\n" not in text


def test_an_absent_block_is_all_defaults():
    assert RolloutConfig.parse("rollout", None) == RolloutConfig()

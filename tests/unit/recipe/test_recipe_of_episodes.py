"""What a recipe with an `environments:` block may leave out, and what it must not have."""

import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import check
from grpo_plugin.recipe.checking import parse

PLUGINS = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Environment", "Reward", "Rollout")]
WORLD = {"factory": "my_env.World"}


def recipe(**changes):
    values = {
        "base_model": "Qwen/Qwen2.5-1.5B-Instruct",
        "plugins": PLUGINS,
        "prompts": {"train": "user/name@train"},
        "environments": WORLD,
        "rewards": {"functions": [{"function": "rewards.arithmetic.accuracy"}]},
    } | changes
    values["plugins"] = [
        name
        for name in values["plugins"]
        if values.get(
            {"Prompt": "prompts", "Environment": "environments", "Reward": "rewards"}.get(name[12:-6], "plugins")
        )
    ]
    return {key: value for key, value in values.items() if value is not None}


def mistake(**changes) -> str:
    with pytest.raises(RecipeError) as caught:
        check(recipe(**changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_data_and_rewards_may_be_the_environments_own():
    assert not check(recipe()).makes_prompts
    for prompts in (None, {"validation": "user/name@test"}):
        found = check(recipe(prompts=prompts, rewards=None, max_steps=5))
        assert found.makes_prompts and found.rewards is None


def test_without_data_one_environment_and_a_number_of_steps_are_needed():
    assert mistake(prompts=None).startswith("max_steps: missing, and without prompts.train an epoch has no length")
    for environments in ({"tools": ["my_tools.search"]}, {"factory": {"a": "a.A", "b": "b.B"}}):
        assert mistake(prompts=None, environments=environments, max_steps=5).startswith("prompts.train: required")


def test_tools_alone_give_no_reward():
    assert mistake(rewards=None, environments={"tools": ["my_tools.search"]}).startswith("rewards: the recipe names no")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rollout": {"lookahead": 1}}, "rollout.lookahead: 1 cannot generate episodes ahead"),
        ({"prompts": {"train": "user/name@train", "image_key": "image"}}, "prompts.image_key: episodes take no images"),
        (
            {"environments": None, "prompts": {"train": "u/n@train", "prompt_key": None}},
            "prompts.prompt_key: null, and no",
        ),
        (
            {"prompts": {"train": "u/n@train", "prompt_key": None, "template": "{{ content }}"}},
            "prompts: 'template' and 'image_key' need 'prompt_key'",
        ),
        ({"environments": {"max_turns": 3}}, "environments: neither 'factory' nor 'tools' is given"),
    ],
)
def test_what_episodes_cannot_have(changes, sentence):
    assert mistake(**changes).startswith(sentence)


def test_episodes_can_be_evaluated_by_their_own_reward():
    plugins = [*PLUGINS, "grpo_plugin.ValidationPlugin"]
    held_out = {"prompts": {"validation": "u/n@test"}, "plugins": plugins, "rewards": None}
    assert parse(recipe(**held_out), evaluates=True).environments is not None
    with pytest.raises(RecipeError, match=r"validation.sets.validation.reward: missing"):
        parse(recipe(**held_out, environments={"tools": ["my_tools.search"]}), evaluates=True)


def test_a_file_that_is_not_there_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = mistake(environments={"factory": {"a": "my_env.py:A"}, "tools": ["my_tools.py:search"]})
    assert missing.startswith("environments: no file 'my_env.py' beside the recipe or in the working directory")
    (tmp_path / "my_env.py").touch()
    assert "no file 'my_tools.py'" in mistake(environments={"factory": "my_env.py:A", "tools": ["my_tools.py:search"]})

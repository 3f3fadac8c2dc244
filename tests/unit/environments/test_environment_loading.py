import asyncio

import pytest

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import RecipeError
from tests.unit.environments import worlds
from tests.unit.environments.test_episode import WORLDS


def load(folder, **config):
    return Environments.load(EnvironmentsConfig.parse("environments", config), folder)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "environments: neither 'factory' nor 'tools' is given; name an environment's class, or tools"),
        (
            {"factory": 3},
            "environments.factory: it is text such as 'my_env.py:Wordle', or names with such a text each, got 3.",
        ),
        ({"factory": {"a": 3}}, "environments.factory: it is text such as"),
        ({"tools": ["a", 3]}, "environments.tools[1]: expected text, got 3."),
        ({"factory": "a.B", "max_turn": 3}, "environments.max_turn: unknown key; did you mean 'max_turns'?"),
        ({"factory": "a.B", "max_turns": 0}, "environments.max_turns: expected a whole number of 1 or more"),
        ({"factory": "a.B", "call_format": "hermess"}, "unknown value 'hermess'; did you mean 'hermes'?"),
        ({"factory": "a.B", "isolation": "process"}, "unknown value 'process'; did you mean 'processes'?"),
    ],
)
def test_a_mistake_in_the_block_is_one_sentence(block, message):
    with pytest.raises(RecipeError) as caught:
        EnvironmentsConfig.parse("environments", block)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"factory": "Wordle"}, "environments: 'Wordle' is no environment or tool; write package.module.name or path"),
        ({"factory": "gone.py:Wordle"}, "environments: 'gone.py:Wordle' names no file; looked in"),
        ({"factory": f"{WORLDS}.Countre"}, f"'{WORLDS}.Countre': there is no 'Countre' in it; did you mean 'Counter'?"),
        ({"factory": f"{WORLDS}.number"}, "is a int, not a function"),
        ({"factory": f"{WORLDS}.raising"}, "made no environment (OSError: no licence)."),
        (
            {"factory": {"a": f"{WORLDS}.Unfit"}},
            f"environments.factory.a: '{WORLDS}.Unfit' makes a Unfit, which has no",
        ),
        ({"factory": f"{WORLDS}.Undescribed"}, "act() is no tool, because the model cannot be told how to call it"),
        ({"tools": [f"{WORLDS}.raising"]}, "environments.tools[0]: raising() is no tool"),
        ({"tools": [f"{WORLDS}.multiply"] * 2}, "environments.tools: two tools are called 'multiply'; rename one"),
        (
            {"factory": f"{WORLDS}.Counter", "tools": [f"{WORLDS}.increment"]},
            f"environments.factory ({WORLDS}.Counter): two tools are called 'increment'",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(tmp_path, config, message):
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, **config)
    assert message in str(caught.value)


def test_an_environment_that_cannot_be_copied_does_not_go_to_worker_processes(tmp_path):
    (tmp_path / "locked.py").write_text(
        "import threading\n\n\nclass Locked:\n    def __init__(self):\n        self.lock = threading.Lock()\n\n"
        "    def reset(self):\n        pass\n"
    )
    with pytest.raises(RecipeError, match=r"a Locked cannot be copied into a worker process .*isolation: threads"):
        load(tmp_path, factory="locked.py:Locked", isolation="processes")
    load(tmp_path, factory="locked.py:Locked")


def test_tools_are_told_to_the_model_by_their_schemas(tmp_path):
    environments = load(tmp_path, factory=f"{WORLDS}.Counter", tools=[f"{WORLDS}.multiply"])
    schemas = environments.tool_schemas({})
    assert [schema["function"]["name"] for schema in schemas] == ["multiply", "fetch", "increment"]
    parameters = schemas[2]["function"]["parameters"]
    assert parameters["properties"]["step"] == {"type": "integer", "description": "Value to add to the counter."}
    assert parameters["required"] == ["step"]


def test_an_environment_of_a_mapping_shows_its_own_tools_alone(tmp_path):
    factory = {"counting": f"{WORLDS}.Counter", "troubled": f"{WORLDS}.Troubled"}
    environments = load(tmp_path, factory=factory)
    names = {
        name: [schema["function"]["name"] for schema in environments.tool_schemas({"environment": name})]
        for name in factory
    }
    assert names == {"counting": ["fetch", "increment"], "troubled": ["fail", "wait"]}


def test_an_environment_s_own_reward_is_scored_for_exactly_its_class(tmp_path):
    factory = {name: f"{WORLDS}.{kind}" for name, kind in (("a", "Counter"), ("b", "Counter"), ("c", "Judged"))}
    environments = load(tmp_path, factory={**factory, "d": f"{WORLDS}.Troubled"})
    counter, judged = environments.rewards
    assert (counter.name, judged.name) == ("Counter", "Judged")
    instances = [worlds.Counter(), worlds.Judged(), worlds.Troubled()]
    instances[0].counter = 3
    assert counter.function(environments=instances, answer=[1, 2, 3]) == [3.0, None, None]
    assert asyncio.run(judged.function(environments=instances)) == [None, 0.5, None]


def test_rewards_of_classes_with_one_name_have_two(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            f"class World:\n    def reset(self):\n        pass\n\n    def get_reward(self):\n        return '{name}'\n"
        )
    environments = load(tmp_path, factory={name: f"{name}.py:World" for name in ("one", "two")})
    first, second = environments.rewards
    assert (first.name, second.name) == ("World", "World_2")
    worlds_ = [environments.by_name[name].kind() for name in ("one", "two")]
    assert first.function(environments=worlds_) == ["one", None]
    assert second.function(environments=worlds_) == [None, "two"]


def test_a_close_that_needs_an_argument_is_a_tool(tmp_path):
    (tmp_path / "door.py").write_text(
        "class House:\n    def reset(self):\n        pass\n\n    def close(self, door: str) -> str:\n"
        "        '''\n        Close a door.\n\n        Args:\n            door: Which.\n        '''\n"
    )
    environments = load(tmp_path, factory="door.py:House")
    assert [schema["function"]["name"] for schema in environments.tool_schemas({})] == ["close"]
    environments.close()

"""The JSON schema that editors use: it takes every shipped recipe, and says what is wrong in others."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.recipe.json_schema import recipe_schema
from grpo_plugin.recipe.refused_keys import REFUSED

ROOT = Path(__file__).parents[3]
RECIPES = sorted([*(ROOT / "recipes").rglob("*.yaml"), ROOT / "cloud" / "ray.yaml", ROOT / "cloud" / "flexai.yaml"])


@cache
def schema() -> dict[str, Any]:
    made = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return made


def mistakes(values: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema()).iter_errors(values)
    ]


class Yaml12(yaml.SafeLoader):
    """As editors read: 1e-6 is a number."""


Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_shipped_recipe_is_valid(path):
    assert mistakes(yaml.load(path.read_text(), Yaml12)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"prompts": {"train": "user/data@train"}},
        {"prompts": {"train": ["a.jsonl", {"source": "b.jsonl", "weight": 2}], "validation": None}},
        {"algorithm": {"name": "dapo", "dynamic_sampling": True, "correction": "auto", "clip_low": None}},
        {"algorithm": {"dynamic_sampling": {"max_rounds": 3}, "correction": {"level": "sequence"}}},
        {"rollout": {"args": ["--max-num-seqs", 256], "env": {"A": 1}}, "validation": None},
        {"base": ["a.yaml", "b.yaml"], "anchors": {"a": 1}},
        {"trl": {"num_generations": 8, "top_p": None}, "vllm": {"max_model_len": 512}},
    ],
)
def test_what_recipes_may_say(values):
    assert mistakes(values) == []


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"learning_rat": 1e-6}, "$.learning_rat: 1e-06 is not of type"),
        ({"rollout": {"gpu": 1}}, "$.rollout: "),
        ({"rollout": {"restarts": -1}}, "$.rollout: "),
        ({"algorithm": {"name": "gprp"}}, "$.algorithm: "),
        ({"rewards": {"functions": [{"weight": 1}]}}, "$.rewards: "),
        ({"trl": {"async_prefetch": True}}, "$.trl: "),
        ({"sample_packing": True}, "$.sample_packing: True is not of type"),
        ({"micro_batch_size": "many"}, "$.micro_batch_size: "),
    ],
)
def test_what_is_wrong_is_marked(values, where):
    (mistake,) = mistakes(values)
    assert mistake.startswith(where)


def test_our_keys_have_their_descriptions():
    properties = schema()["properties"]
    for name, block in BLOCKS.items():
        (written,) = [option for option in properties[name]["anyOf"] if option.get("type") == "object"]
        assert written["properties"].keys() == block.model.model_fields.keys()
        for key, field in block.model.model_fields.items():
            assert written["properties"][key]["description"] == field.description
    assert properties["micro_batch_size"]["description"].startswith("The number of samples")


def test_keys_without_effect_are_not_offered():
    assert not schema()["properties"].keys() & REFUSED.keys()
    assert "expected" not in json.dumps(schema()["properties"]["rollout"])


def test_the_command_prints_it():
    code = "from grpo_plugin.cli.main import grpo; grpo(['schema'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == schema()

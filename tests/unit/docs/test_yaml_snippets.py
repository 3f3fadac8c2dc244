"""Every YAML block on a page is read as a recipe, or as a part of one: a reader may copy it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from grpo_plugin.recipe import Recipe, check, read
from tests.gym import need_reasoning_gym
from tests.unit.docs.pages import ROOT, Block, blocks, titled

FOREIGN = "axolotl_grpo.yaml"  # shown as what a reader comes from
SNIPPETS = [block for block in blocks("yaml") if block.title != FOREIGN]
PLUGINS = {
    "prompts": "PromptPlugin",
    "environments": "EnvironmentPlugin",
    "rewards": "RewardPlugin",
    "algorithm": "AlgorithmPlugin",
    "rollout": "RolloutPlugin",
    "validation": "ValidationPlugin",
}
# What a snippet leaves out, and a recipe needs.
REST = {
    "base_model": "Qwen/Qwen3-0.6B",
    "prompts": {"train": "my_train.jsonl"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "learning_rate": 1e-6,
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the snippets name."""
    for folder in ("recipes", "rewards"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for name in ("my_train.jsonl", "my_test.jsonl"):
        (tmp_path / name).write_text(json.dumps({"question": "2+2?", "answer": "4"}) + "\n")
    for name in ("my_advantages.py", "my_losses.py", "my_rewards.py", "my_env.py"):
        (tmp_path / name).write_text(titled(name))
    (tmp_path / "python").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """A snippet as a recipe: what it leaves out is added, and the plugins of its blocks."""
    whole = {**REST, **values}
    plugins = [f"grpo_plugin.{plugin}" for block, plugin in PLUGINS.items() if block in whole]
    return {"plugins": plugins, **whole}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_a_snippet_is_a_part_of_a_recipe(snippet: Block, clone: Path) -> None:
    if "reasoning_gym:" in snippet.text:
        need_reasoning_gym()
    values = yaml.safe_load(snippet.text.replace("/path/to/vllm-env/bin/python", "python"))
    path = clone / "snippet.yaml"
    path.write_text(yaml.safe_dump(completed(values)))
    assert isinstance(check(read(path)), Recipe)


@pytest.mark.parametrize("title", ["my_recipe.yaml", "with_plugins.yaml"])
def test_a_whole_recipe_needs_nothing_more_and_axolotl_drops_none_of_it(title: str, clone: Path) -> None:
    from tests.unit.recipes.test_recipes import validated

    (clone / title).write_text(titled(title))
    values = read(title)
    check(values)
    made = validated(values, 1)
    assert not [key for key in values if key not in made]

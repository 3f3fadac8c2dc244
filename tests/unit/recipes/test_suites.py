"""Every shipped suite: alone, as `axolotl grpo evaluate` reads it, and as a base of a training recipe."""

import importlib
from pathlib import Path

import pytest
import yaml

from grpo_plugin.recipe import check, read
from grpo_plugin.recipe.length_budget import longest_answer
from tests.unit.recipes.test_recipes import ROOT, validated

SUITES = sorted(path.name for path in (ROOT / "recipes" / "suites").glob("*.yaml"))
PLUGINS = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm", "Rollout", "Validation")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("recipes", "rewards"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def text(name: str) -> str:
    return (ROOT / "recipes" / "suites" / name).read_text()


def test_the_suites_that_the_field_reports_are_there():
    assert {"aime24", "aime25", "amc", "geometry3k_test", "gsm8k_test", "math500"} == {Path(s).stem for s in SUITES}


@pytest.mark.parametrize("name", SUITES)
def test_it_is_evaluated_alone(name, workspace):
    recipe = check(read(f"recipes/suites/{name}", {"base_model": "user/model"}), evaluates=True)
    ((set_name, options),) = recipe.held_out.items()
    assert set_name == Path(name).stem
    assert f"axolotl grpo evaluate recipes/suites/{name} --model" in text(name) and "# Source" in text(name)
    assert recipe.prompts is not None and Path(str(recipe.prompts.held_out(set_name).template)).is_file()
    assert recipe.prompts.held_out(set_name).answer_key == "answer"
    module, _, function = str(options.reward).rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    assert max(options.pass_at) == max(options.majority_at) == options.samples


@pytest.mark.parametrize("name", SUITES)
def test_it_is_a_base_of_a_training_recipe(name, workspace):
    [line] = [line for line in text(name).splitlines() if "base: [" in line]
    bases = yaml.safe_load(line.partition("base: ")[2])
    (workspace / "mine.yaml").write_text(yaml.safe_dump({"base": bases, "plugins": PLUGINS}))
    values = read("mine.yaml")
    recipe, alone = check(values), check(read(bases[0]))
    assert list(recipe.held_out) == [Path(name).stem], "in place of the recipe's own held-out prompts"
    assert recipe.rewards == alone.rewards and recipe.output_dir == alone.output_dir
    assert recipe.prompts is not None and alone.prompts is not None
    assert (recipe.prompts.template, recipe.prompts.train) == (alone.prompts.template, alone.prompts.train)
    assert longest_answer(values) >= recipe.held_out[Path(name).stem].max_tokens
    made = validated(values, 1)
    assert made["validation"]["sets"] and made["prompts"]["validation"]

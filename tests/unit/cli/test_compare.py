"""`axolotl grpo compare` with answers made by hand in place of servers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from grpo_plugin.cli import compare as module
from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from tests.tiny import make_tokenizer
from tests.training import write_recipe

TOKENIZER = make_tokenizer()
ANSWERS = {"base": "no 1", "trained": "12"}  # `digits` counts them: 1 and 2 sixteenths


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[list[int]], int, Sampling]]:
    found = []

    def completed(
        recipe: Recipe, model: str, prompts: Sequence[list[int]], samples: int, sampling: Sampling
    ) -> list[list[Completion]]:
        found.append((model, list(prompts), samples, sampling))
        ids = TOKENIZER(ANSWERS[Path(model).name])["input_ids"]
        return [
            [Completion([*ids, TOKENIZER.eos_token_id], [0.0] * (len(ids) + 1), "stop", 0)] * samples for _ in prompts
        ]

    monkeypatch.setattr(module, "completed", completed)
    return found


def models(folder: Path) -> list[str]:
    (folder / "model").rename(folder / "base")
    shutil.copytree(folder / "base", folder / "trained")
    return [str(folder / name) for name in ANSWERS]


def test_both_get_the_same_prompts_and_the_recipes_rewards(tmp_path: Path, asked, monkeypatch) -> None:
    recipe = write_recipe(
        tmp_path, rewards={"functions": [{"function": "my_rewards.py:digits", "weight": 2.0}], "workers": 0}
    )
    base, trained = models(tmp_path)
    recipe.write_text(recipe.read_text().replace(f"{tmp_path}/model", base))
    out = tmp_path / "found.html"
    words = [base, trained, "--prompts", str(recipe), "--limit=5", "--samples=2", "--temperature=0.5", f"--out={out}"]
    result = CliRunner().invoke(module.compare, words)
    assert result.exit_code == 0, result.output
    (first, prompts, samples, sampling), (second, again, *_) = asked
    assert (first, second) == (base, trained) and prompts == again and len(prompts) == 5 and samples == 2
    assert TOKENIZER.decode(prompts[0]) == "<|im_start|>user\n0+1=<|im_end|>\n<|im_start|>assistant\n"
    assert sampling.temperature == 0.5 and sampling.max_tokens == 16
    assert TOKENIZER.eos_token_id in sampling.stop_token_ids
    table = {
        line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line.startswith(("total", "digits"))
    }
    assert table["digits"] == ["0.062", "0.125", "+0.062", "0.000", "5", "0", "5"]
    assert table["total"] == ["0.125", "0.250", "+0.125", "0.000", "5", "0", "5"]
    assert out.read_text().count("<article") == 5


def test_a_suite_is_answered_and_scored_as_its_set_says(tmp_path: Path, asked, monkeypatch) -> None:
    write_recipe(tmp_path)
    base, trained = models(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(json.dumps({"prompt": "9+9=", "answer": "18"}))
    options = {"reward": "my_rewards.py:digits", "max_tokens": 20, "top_p": 0.5}
    suite = {
        "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Validation")],
        "prompts": {"validation": {"sums": {"sources": "rows.jsonl", "answer_key": "answer"}}},
        "validation": {"sets": {"sums": options}},
    }
    Path("suite.yaml").write_text(yaml.safe_dump(suite))
    for model in (base, trained):  # a template that opens an element, which is a part of the answer
        template = Path(model, "chat_template.jinja")
        template.write_text(template.read_text() + "<think>")
    result = CliRunner().invoke(module.compare, [base, trained, "--prompts=suite.yaml", "--temperature=1"])
    assert result.exit_code == 0, result.output
    sampling = asked[0][3]
    assert (sampling.max_tokens, sampling.top_p, sampling.seed) == (20, 0.5, 0)
    assert "digits" in result.output and "&lt;think&gt;no 1" in Path("comparison.html").read_text()


def test_a_file_needs_a_recipe_of_the_trained_model(tmp_path: Path, asked) -> None:
    write_recipe(tmp_path)
    base, trained = models(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "9+9=", "answer": "18"}))
    result = CliRunner().invoke(module.compare, [base, trained, "--prompts", str(rows)])
    assert result.exit_code == 2 and "has no recipe that says how" in result.output and not asked


def test_episodes_are_not_compared_as_single_turns(tmp_path: Path, asked) -> None:
    plugins = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Environment", "Reward", "Rollout")]
    write_recipe(tmp_path, plugins=plugins, environments={"tools": ["my_tools.look"]}, algorithm=None, validation=None)
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    base, trained = models(tmp_path)
    kept = {key: value for key, value in recipe.items() if value is not None} | {"base_model": base}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(kept))
    result = CliRunner().invoke(module.compare, [base, trained, "--prompts", str(tmp_path / "recipe.yaml")])
    assert result.exit_code == 2 and "run `axolotl grpo evaluate RECIPE" in result.output and not asked

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from grpo_plugin.cli.check_rewards import check_rewards
from grpo_plugin.cli.score import score

RECIPE = """\
base_model: any
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin]
prompts: {train: data.jsonl, prompt_key: question, answer_key: gold}
rewards:
  workers: 0
  functions:
    - {function: FUNCTION, weight: 2.0}
    - {function: rewards.math.format}
"""


def recipe(folder: Path, golds: list[str], function: str = "rewards.math.accuracy") -> str:
    rows = [{"question": f"question {place}", "gold": gold} for place, gold in enumerate(golds)]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "recipe.yaml").write_text(RECIPE.replace("FUNCTION", function))
    return str(folder / "recipe.yaml")


def test_check_rewards_is_content_with_good_data(tmp_path: Path) -> None:
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", r"\frac{1}{2}", "(1, 2]", "even"])])
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output
    assert "rewards on 4 rows" in result.output


def test_check_rewards_leaves_out_what_scores_environments(tmp_path: Path) -> None:
    (tmp_path / "world.py").write_text("def won(completions, environments): raise AssertionError\n")
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", "2"], "world.py:won")])
    assert result.exit_code == 0, result.output
    assert "Not tried, as they score environments: won." in result.output and "format" in result.output


def test_check_rewards_says_why_it_cannot_try_what_an_environment_gives(tmp_path: Path) -> None:
    """Of `recipes/guessing.yaml`, which has neither data nor reward functions."""
    result = CliRunner().invoke(check_rewards, [str(Path(__file__).parents[3] / "recipes" / "guessing.yaml")])
    assert result.exit_code == 2
    assert "no rows to try; its rewards, get_reward() among them, are given to episodes alone" in result.output
    assert "PromptPlugin" not in result.output


def test_check_rewards_names_rows_whose_gold_cannot_be_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", r"\frac{1}{", "3", "4"])])
    assert result.exit_code == 1
    assert "accuracy does not give its highest score to the gold answer of 1 rows: data.jsonl row 2" in result.output
    assert "(cannot be read)" in result.output


def test_check_rewards_finds_a_grader_that_is_always_content(tmp_path: Path) -> None:
    (tmp_path / "lax.py").write_text("def reward(completions, answer): return [1.0] * len(completions)\n")
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", "2"], "lax.py:reward")])
    assert result.exit_code == 1
    assert "scores an empty completion as high as the gold answer in 2 rows" in result.output
    assert "scores the answer of another row as high" in result.output


def test_check_rewards_stops_at_a_column_the_data_lacks(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("def reward(completions, solution): return [1.0] * len(completions)\n")
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", "2"], "needy.py:reward")])
    assert result.exit_code == 2
    assert "asks for the column 'solution'" in result.stderr


def test_check_rewards_finds_a_reward_that_reads_another_gold_column(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "def reward(completions, ground_truth):\n"
        "    return [float(gold in c[0]['content']) for c, gold in zip(completions, ground_truth)]\n"
    )
    path = recipe(tmp_path, ["1", "2"], "other.py:reward")
    rows = [{"question": "q", "gold": "7", "ground_truth": "8"}, {"question": "r", "gold": "6", "ground_truth": "6"}]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = CliRunner().invoke(check_rewards, [path])
    assert result.exit_code == 1
    assert (
        "reward reads the column 'ground_truth', which differs from the answer that the recipe names" in result.output
    )
    assert "in 1 rows (data.jsonl row 1: '8' and '7')" in " ".join(result.output.split())


def tokenizer(folder: Path, chat_template: str | None) -> str:
    """A tiny tokenizer on disk; its folder, as the recipe's base_model."""
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1}, unk_token="<unk>"))
    saved = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>")
    saved.chat_template = chat_template
    saved.save_pretrained(folder / "model")
    return str(folder / "model")


def with_model(path: str, model: str) -> str:
    Path(path).write_text(Path(path).read_text().replace("base_model: any", f"base_model: {model}"))
    return path


def test_check_rewards_tries_a_template_that_opens_think(tmp_path: Path) -> None:
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>\n<think>\n"
    path = with_model(recipe(tmp_path, ["1", "2"]), tokenizer(tmp_path, template))
    (tmp_path / "seen.py").write_text(
        "def reward(completions, answer):\n"
        "    texts = [c[0]['content'] for c in completions]\n"
        "    assert all(text.startswith('<think>') and text.count('<think>') == 1 for text in texts), texts\n"
        "    return [float(text.endswith('{' + gold + '}.')) for text, gold in zip(texts, answer)]\n"
    )
    Path(path).write_text(Path(path).read_text().replace("rewards.math.accuracy", "seen.py:reward"))
    result = CliRunner().invoke(check_rewards, [path])
    assert result.exit_code == 0, result.output
    assert "Prompts end with <think>, which rewards get at the beginning of each completion." in result.output
    assert "format" in result.output and "1.000" in result.output


def test_check_rewards_hands_text_to_rewards_of_a_model_without_chat_template(tmp_path: Path) -> None:
    path = with_model(recipe(tmp_path, ["1", "2"], "chat.py:reward"), tokenizer(tmp_path, None))
    (tmp_path / "chat.py").write_text("def reward(completions): return [len(c[0]['content']) for c in completions]\n")
    result = CliRunner().invoke(check_rewards, [path])
    assert result.exit_code == 2
    assert "raised TypeError: string indices must be integers" in result.stderr


def test_check_rewards_says_when_the_template_is_not_known(tmp_path: Path) -> None:
    result = CliRunner().invoke(check_rewards, [recipe(tmp_path, ["1", "2"])])
    assert result.exit_code == 0, result.output
    assert "without the model's chat template, which is not known: tokenizer:" in result.output


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model that most recipes here name does not exist; nobody is asked for it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    rows = [{"response": r"<think>a</think>\boxed{1}", "answer": "1"}, {"response": r"\boxed{2}", "answer": "3"}]
    (tmp_path / "saved.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "saved.jsonl"


def test_score_by_a_recipe_writes_every_row_and_the_weighted_total(tmp_path: Path, saved: Path) -> None:
    out = tmp_path / "scored.jsonl"
    result = CliRunner().invoke(score, ["--rewards", recipe(tmp_path, ["1"]), str(saved), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["scores"] for row in rows] == [
        {"accuracy": 1.0, "format": 1.0, "total": 3.0},
        {"accuracy": 0.0, "format": 0.0, "total": 0.0},
    ]
    assert rows[1]["response"] == r"\boxed{2}"
    assert "accuracy: mean 0.5000 over 2 rows, 0 without a score" in result.stderr


def test_score_by_functions(saved: Path) -> None:
    result = CliRunner().invoke(score, ["--rewards", "rewards.math.accuracy", "--batch", "1", str(saved)])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["scores"]["accuracy"] for line in result.stdout.splitlines()] == [1.0, 0.0]


@pytest.mark.parametrize(("line", "words"), [("no json", "line 1: is no JSON"), ('{"a": 1}', "has no completion")])
def test_score_names_the_bad_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "bad.jsonl").write_text(line)
    result = CliRunner().invoke(score, ["--rewards", "rewards.math.format", str(tmp_path / "bad.jsonl")])
    assert result.exit_code == 2
    assert words in result.stderr

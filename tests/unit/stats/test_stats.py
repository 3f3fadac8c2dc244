"""`python stats.py` and `axolotl grpo stats`, from data to figures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer

from grpo_plugin.cli.stats import stats
from grpo_plugin.prompts.readers import CHUNK
from grpo_plugin.stats import length_report as report_module

ROWS = [{"q": f"What is {i} + {i}? " * (i % 13 + 1), "a": f"#### {2 * i}", "level": i % 3} for i in range(CHUNK + 40)]
BLOCK = {"train": "train.jsonl", "prompt_key": "q", "answer_key": "a", "answer_extract": "gsm8k"}
BLOCK |= {"system": "Be brief.", "template": "{{ content }} (level {{ level }})"}


@pytest.fixture
def recipe(tmp_path, jsonl, model) -> Path:
    jsonl(ROWS)
    path = tmp_path / "recipe.yaml"
    values = {"base_model": str(model), "output_dir": str(tmp_path / "out"), "prompts": BLOCK}
    path.write_text(yaml.safe_dump({**values, "trl": {"max_completion_length": 300}}))
    return path


def run(*arguments: object) -> dict:
    result = CliRunner().invoke(stats, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def naive(model: Path) -> tuple[np.ndarray, np.ndarray]:
    tokenizer = AutoTokenizer.from_pretrained(model)
    system = {"role": "system", "content": "Be brief."}
    chats = [[system, {"role": "user", "content": f"{row['q']} (level {row['level']})"}] for row in ROWS]
    prompts = [len(tokenizer.apply_chat_template(c, add_generation_prompt=True, return_dict=False)) for c in chats]
    return np.array(prompts), np.array([len(tokenizer.encode(row["a"], add_special_tokens=False)) for row in ROWS])


def test_figures_equal_those_of_the_naive_loop(recipe, model):
    prompts, answers = naive(model)
    (found,) = run(recipe, "--limit", 50, "--limit", 90).values()
    for name, lengths in (("prompt", prompts), ("answer", answers)):
        assert found[name]["rows"] == len(lengths)
        assert (found[name]["min"], found[name]["max"]) == (lengths.min(), lengths.max())
        assert found[name]["mean"] == pytest.approx(lengths.mean(), abs=0.01)
        assert found[name]["p99"] == pytest.approx(np.quantile(lengths, 0.99), abs=0.01)
    assert found["over"] == {"50": (prompts > 50).sum(), "90": (prompts > 90).sum()}
    longest = sorted(prompts, reverse=True)[:5]
    assert [row["tokens"] for row in found["longest"]] == longest
    assert all(prompts[row["row"] - 1] == row["tokens"] for row in found["longest"])
    assert found["recommended"]["trl.max_completion_length"] == 300


def test_options_replace_the_recipe_and_tokenizers_stand_side_by_side(recipe, model, tmp_path, jsonl):
    other = jsonl([{"q": "one two", "level": 1}], "other.jsonl")
    named = run("--dataset", other, "--prompt-key", "q", "--tokenizer", model, "--tokenizer", f"{model}/.")
    assert list(named) == [str(model), f"{model}/."]
    figures = [{**found, "longest": None} for found in named.values()]
    assert figures[0] == figures[1]
    (replaced,) = run(recipe, "--dataset", other, "--answer-key", "q", "--template", "{{ content }}").values()
    assert replaced["prompt"]["rows"] == 1
    assert "answer" in replaced


def test_validation_is_measured_when_asked(recipe, jsonl):
    values = yaml.safe_load(recipe.read_text())
    missing = CliRunner().invoke(stats, [str(recipe), "--split", "validation"])
    assert "prompts.validation: not set, so there is nothing to measure" in missing.output
    jsonl(ROWS[:3], "held-out.jsonl")
    values["prompts"]["validation"] = "held-out.jsonl"
    recipe.write_text(yaml.safe_dump(values))
    assert next(iter(run(recipe, "--split", "validation").values()))["prompt"]["rows"] == 3


def test_completions_in_a_generation_log(recipe, tmp_path):
    folder = tmp_path / "out/generations"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"completion": ["a b c", "a " * 500]}), folder / "0.parquet")
    (found,) = run(recipe, "--completions", folder).values()
    assert found["completion"]["rows"] == 2
    assert found["recommended"]["trl.max_completion_length"] == -(-found["completion"]["max"] // 64) * 64
    wrong = CliRunner().invoke(stats, [str(recipe), "--completions", str(folder), "--completion-key", "completions"])
    assert "row 1 has no 'completions'; did you mean 'completion'?" in wrong.output
    (tmp_path / "none.jsonl").touch()
    empty = CliRunner().invoke(stats, [str(recipe), "--completions", str(tmp_path / "none.jsonl")])
    assert empty.exit_code == 2 and "--completions: there are none" in empty.output


def test_results_are_kept_until_data_wording_or_tokenizer_change(recipe, jsonl, monkeypatch):
    passes = []
    analyse = report_module.analyse
    monkeypatch.setattr(report_module, "analyse", lambda *given: passes.append(1) or analyse(*given))
    first = run(recipe)
    assert run(recipe) == first
    assert run(recipe, "--limit", 7) != first
    assert len(passes) == 1
    run(recipe, "--no-cache")
    run(recipe, "--system", "Other.")
    jsonl(ROWS[:5])
    assert next(iter(run(recipe).values()))["prompt"]["rows"] == 5
    assert len(passes) == 4


def test_results_are_measured_anew_when_what_was_kept_is_broken(recipe, own_cache):
    first = run(recipe)
    (kept,) = (own_cache / "stats").glob("*.json")
    kept.write_text(kept.read_text()[:20])
    assert run(recipe) == first


def test_screen_and_picture(recipe, tmp_path):
    result = CliRunner().invoke(stats, [str(recipe)], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    for words in (
        "Lengths in tokens",
        "p99.9",
        "█",
        "prompts over a limit: over ",
        "train.jsonl row",
        "max_length: ",
        "max_model_len: ",
    ):
        assert words in result.output
    assert (tmp_path / "out/lengths.png").read_bytes().startswith(b"\x89PNG")


def test_a_narrow_screen_shows_all_and_its_recipe_is_yaml(recipe, jsonl):
    jsonl([*ROWS, {"q": "word " * 3000, "a": "#### 1", "level": 1}])
    lines = CliRunner().invoke(stats, [str(recipe)], env={"COLUMNS": "80"}).stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith("picture")) <= 80
    start = next(i for i, line in enumerate(lines) if line.split() == ["tokens", "row", "begins"])
    assert f"train.jsonl row {len(ROWS) + 1:,} word word" in " ".join(lines[start + 1].split())
    block = lines[next(i for i, line in enumerate(lines) if line.startswith("recommended for the recipe")) + 1 : -1]
    written = yaml.safe_load("\n".join(block))
    assert written["sequence_len"] == written["prompts"]["max_length"] + written["trl"]["max_completion_length"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure; name a recipe, or --dataset and --tokenizer"),
        (["gone.yaml"], "recipe 'gone.yaml': cannot be read"),
        (["--dataset", "train.jsonl", "--tokenizer", "/nowhere"], "tokenizer: '/nowhere' cannot be loaded"),
        (["--dataset", "gone.jsonl", "--tokenizer", "x"], "'gone.jsonl' was not found"),
        (
            ["--dataset", "train.jsonl", "--tokenizer", "x", "--png", "x.xyz"],
            "--png: 'x.xyz' is no known kind of picture; known: .png, .pdf, .svg.",
        ),
        (["--dataset", "train.jsonl", "--tokenizer", "x", "--png", "train.jsonl/x.png"], "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, jsonl, tmp_path, monkeypatch):
    jsonl(ROWS[:1])
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(stats, arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_bad_rows_stop_as_they_would_in_training(recipe, jsonl):
    jsonl([*ROWS[:2], {**ROWS[2], "q": " "}])
    result = CliRunner().invoke(stats, [str(recipe)])
    assert result.exit_code == 2
    assert "train.jsonl has an empty prompt in row 3; correct or remove them, and perhaps others" in result.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": [1]}, "prompts: expected keys and values, got [1]"),
        ({"trl": 3}, "trl: expected keys and values, got 3"),
    ],
)
def test_blocks_that_are_none_are_one_sentence(recipe, changes, words):
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | changes))
    result = CliRunner().invoke(stats, [str(recipe)])
    assert result.exit_code == 2 and words in result.output


def test_images_need_a_processor(recipe, model):
    result = CliRunner().invoke(stats, [str(recipe), "--image-key", "level"])
    assert result.exit_code == 2
    assert f"prompts.image_key: '{model}' comes without an image processor" in " ".join(result.output.split())


def test_modules_load_neither_torch_nor_vllm_nor_transformers():
    modules = ["analysis", "distribution", "plot", "recommend", "length_report", "request", "show", "tokenizers"]
    imports = "".join(f"import grpo_plugin.stats.{name}; " for name in modules)
    code = f"{imports}import grpo_plugin.cli.stats, grpo_plugin.cli.convert, stats, sys; print(*sys.modules)"
    root = Path(__file__).parents[3]
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    assert {"torch", "vllm", "transformers", "datasets", "matplotlib"} & set(loaded.split()) == set()

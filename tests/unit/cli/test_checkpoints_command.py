"""`axolotl grpo checkpoints` and `export`, on folders made by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.checkpoints import checkpoints, shown_size
from grpo_plugin.cli.export import export
from grpo_plugin.recipe import parse
from grpo_plugin.recipe.resuming import write_recipe
from grpo_plugin.validation.evaluation import Accuracy, Evaluation
from grpo_plugin.validation.evaluation_log import EvaluationLog
from tests.tiny import make_model
from tests.unit.console.test_model_card import VALUES


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a whole checkpoint at step 4, evaluated at 2, and one at 8 that was cut off."""
    out = tmp_path / "out"
    model = make_model(out / "checkpoint-4")
    state = {"global_step": 4, "log_history": [{"step": 3, "reward": 0.25}, {"step": 4, "reward": 0.5}, {"step": 4}]}
    (model / "trainer_state.json").write_text(json.dumps(state))
    write_recipe(parse(VALUES | {"base_model": "some/model"}), model)
    (out / "checkpoint-8").mkdir()
    log = EvaluationLog(out / "evaluations.jsonl")
    for step, sampled in ((0, 0.125), (2, 0.75), (6, 0.875)):
        log.write([Evaluation(step, "accuracy", Accuracy(10, sampled, None), {}, {})])
    return out


def test_the_list(run: Path) -> None:
    result = CliRunner().invoke(checkpoints, [str(run)])
    assert result.exit_code == 0, result.output
    title, whole, cut = (line.split("  ") for line in result.output.splitlines())
    assert [cell.strip() for cell in title if cell] == [
        "CHECKPOINT",
        "STEP",
        "REWARD",
        "HELD-OUT",
        "SIZE",
        "INFERENCE READY",
    ]
    cells = [cell.strip() for cell in whole if cell.strip()]
    assert cells[:4] == ["checkpoint-4", "4", "0.500", "sampled 0.750 (step 2)"] and cells[5] == "yes"
    assert [cell.strip() for cell in cut if cell.strip()][-1] == "no: it has no weights"


def test_a_recipe_names_its_run(run: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(json.dumps(VALUES | {"output_dir": str(run)}))
    assert "checkpoint-4" in CliRunner().invoke(checkpoints, [str(recipe)]).output
    recipe.write_text(json.dumps(VALUES | {"output_dir": str(tmp_path / "new")}))
    result = CliRunner().invoke(checkpoints, [str(recipe)])
    assert result.exit_code == 2 and "run it first" in result.output


def test_a_run_without_checkpoints(tmp_path: Path) -> None:
    result = CliRunner().invoke(checkpoints, [str(tmp_path)])
    assert result.exit_code == 2 and "set save_steps" in result.output


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (14_250_000, "14.2 MB"), (28e9, "28 GB")]
)
def test_sizes_have_three_digits(size: float, shown: str) -> None:
    assert shown_size(size) == shown


def test_export_of_a_run_takes_its_newest_whole_checkpoint(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    result = CliRunner().invoke(export, [str(run), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "copied from" in result.output and "checkpoint-4" in result.output and "to 0.0e+00 nats" in result.output
    card = (out / "README.md").read_text()
    assert "# exported" in card and "| optimizer steps | 4 |" in card
    assert "| accuracy_sampled | 0.125 | 0.750 |" in card, "the figures up to its step"
    again = CliRunner().invoke(export, [str(run), "--out", str(out)])
    assert again.exit_code == 2 and "name a new folder" in again.output

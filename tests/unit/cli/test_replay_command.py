"""`axolotl grpo replay` on a run's log made by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from grpo_plugin.cli.replay import replay
from grpo_plugin.recipe import check, read
from grpo_plugin.recipe.resuming import write_recipe as keep_recipe
from tests.training import write_recipe

REWARDS = [1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]


def rows(tokens: bool) -> dict[str, list]:
    """Two groups of four completions of three tokens; the rewards of the second are equal."""
    found: dict[str, list] = {
        "step": [1] * 8,
        "reward": REWARDS,
        "digits": REWARDS,
        "finish_reason": ["stop"] * 8,
        "policy_version": [0] * 8,
        "tokens": [3] * 8,
    }
    if tokens:
        found |= {
            "prompt_ids": [[5, 6]] * 8,
            "token_ids": [[7 + i, 8, 9] for i in range(8)],
            "token_logps": [[-1.0, -2.0, -3.0]] * 8,
        }
    return found


@pytest.fixture
def run(tmp_path: Path):
    def make(tokens: bool, **changes) -> Path:
        rewards = {"functions": [{"function": "my_rewards.py:digits"}], "workers": 0}
        recipe = write_recipe(tmp_path, rewards=rewards, algorithm={"name": "dr_grpo"}, **changes)
        out = tmp_path / "out"
        (out / "generations").mkdir(parents=True)
        parquet.write_table(pa.table(rows(tokens)), out / "generations" / "train-0000001-000.parquet")
        saved = out / "checkpoint-4"
        saved.mkdir()
        (saved / "trainer_state.json").write_text('{"global_step": 4}')
        keep_recipe(check(read(recipe)), saved)
        return out

    return make


def table(output: str) -> dict[str, list[str]]:
    return {line[:26].strip(): line[26:].split() for line in output.splitlines()[1:]}


def test_without_tokens_the_advantages_and_the_loss_at_ratio_1(run) -> None:
    result = CliRunner().invoke(
        replay, [str(run(tokens=False)), "--step=1", "--algorithm={name: dapo, overlong: keep}"]
    )
    assert result.exit_code == 0, result.output
    assert "8 rollouts of step 1; the gradient is that of the log-probabilities" in result.output
    found = table(result.output)
    assert found["completions trained on"] == ["8", "4"]
    assert found["mean |advantage|"] == ["0.1875", "0.3749"]  # divided by the deviation of 0.5, and 1e-4 more
    assert found["correlation of advantages"] == ["1.0000"]


def test_with_tokens_the_base_model_gives_the_gradient_of_the_first_step(run) -> None:
    out = run(tokens=True)
    result = CliRunner().invoke(replay, [str(out), "--step=1", "--algorithm=dr_grpo"])
    assert result.exit_code == 0, result.output
    assert "the gradient is that of the weights" in result.output
    found = table(result.output)
    same, other = found["norm of the gradient"]
    assert same == other and float(same) > 0.01 and found["cosine of the gradients"] == ["1.0000"]


def test_a_step_that_begins_no_batch(run) -> None:
    result = CliRunner().invoke(replay, [str(run(tokens=False)), "--step=2"])
    assert result.exit_code == 2 and "no batch of" in result.output and "known: 1." in result.output


def test_a_folder_without_a_recipe(tmp_path: Path) -> None:
    result = CliRunner().invoke(replay, [str(tmp_path), "--step=1"])
    assert result.exit_code == 2 and "has no recipe of its run" in result.output

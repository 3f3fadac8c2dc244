"""What a run leaves behind, and says, when something dies. Real processes; each test is bounded in time."""

import os
import signal
from pathlib import Path

import pandas
import pytest

from grpo_plugin.recipe.checkpoints import checkpoints, defect
from grpo_plugin.recipe.resuming import recipe_values, step_of
from tests.training import VLLM_PYTHON, Training, function, write_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="no .venv-vllm: run `make vllm`"),
]


@pytest.fixture
def start():
    """Starts runs; no file of theirs may outlive them in shared memory or among the temporary ones."""
    started: list[Training] = []

    def run(recipe: Path, *words: str) -> Training:
        started.append(Training(recipe, *words))
        return started[-1]

    yield run
    for training in started:
        training.destroy()
        assert training.traces, "the run had something to leave behind"
        assert training.left() == set()


def long_answers(folder: Path, **changes):
    """A recipe that spends its time generating, so that a kill hits a generation."""
    trl = {"use_vllm": True, "num_generations": 4, "max_completion_length": 200, "temperature": 1.0}
    return write_recipe(folder, trl=trl, **changes)


def steps_trained(folder: Path) -> list[int]:
    return sorted(pandas.read_parquet(folder / "out" / "generations")["step"].unique().tolist())


def test_a_server_killed_in_mid_generation_is_replaced_and_the_run_ends_whole(tmp_path, start):
    training = start(long_answers(tmp_path))
    training.wait_for("    1 ")
    training.kill("api_server")
    assert training.wait() == 0, training.screen
    assert "restarting it (1 of 2)" in training.screen
    assert steps_trained(tmp_path) == [1, 2, 3, 4]
    generations = pandas.read_parquet(tmp_path / "out" / "generations")
    assert (generations.groupby("step")["policy_version"].nunique() == 1).all()
    training.wait_for_end_of_all(10)


def test_a_server_that_dies_again_and_again_ends_the_run_with_its_log(tmp_path, start):
    rollout = {"python": str(VLLM_PYTHON), "restarts": 0}
    training = start(long_answers(tmp_path, rollout=rollout))
    training.wait_for("    1 ")
    training.kill("api_server", spare="nothing: the server's guard is killed, too")
    assert training.wait() not in (0, None)
    assert training.screen.count("error:") == 1 and "rollout.restarts" in training.screen
    training.wait_for_end_of_all(10)


@pytest.mark.parametrize("victim", ["axolotl.cli.train", "bin/axolotl"], ids=["trainer", "launcher"])
def test_a_killed_trainer_takes_the_server_with_it(tmp_path, start, victim):
    training = start(write_recipe(tmp_path, max_steps=10_000, num_epochs=10_000))
    training.wait_for("    1 ")
    training.kill(victim)
    training.wait_for_end_of_all(10 if victim == "axolotl.cli.train" else 30)
    assert training.process.wait() != 0
    if victim == "axolotl.cli.train":
        assert "training ended with exit code" in training.screen


def test_ctrl_c_ends_trainer_and_server(tmp_path, start):
    training = start(write_recipe(tmp_path, max_steps=10_000, num_epochs=10_000))
    training.wait_for("    1 ")
    os.kill(training.process.pid, signal.SIGINT)
    training.wait_for_end_of_all(30)
    assert training.process.wait() == 128 + signal.SIGINT
    assert "stopped by SIGINT; no checkpoint is saved with save_strategy: no" in training.screen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_scheduler_gets_a_checkpoint(tmp_path, start, number):
    """SIGTERM reaches the command alone; SIGUSR1, as Slurm sends it, every process of the run."""
    recipe = write_recipe(tmp_path, max_steps=10_000, num_epochs=10_000, save_strategy="steps", save_steps=10_000)
    training = start(recipe)
    training.wait_for("    1 ")
    for pid in training.pids() if number == signal.SIGUSR1 else [training.process.pid]:
        os.kill(pid, number)
    training.wait_for_end_of_all(120)
    assert training.process.wait() == 128 + number
    (saved,) = checkpoints(tmp_path / "out")
    assert defect(saved) is None and recipe_values(saved) is not None
    assert f"{number.name}: saving a checkpoint after this step" in training.screen
    assert f"stopped by {number.name}; to go on from {saved}, give the same command" in training.screen
    assert max(steps_trained(tmp_path)) == step_of(saved)


def test_ctrl_c_while_vllm_still_starts(tmp_path, start):
    training = start(write_recipe(tmp_path))
    training.wait_for("vLLM       starting")
    os.kill(training.process.pid, signal.SIGINT)
    training.wait_for_end_of_all(30)
    assert training.process.wait() == 128 + signal.SIGINT


def test_a_broken_reward_ends_the_run_and_is_named(tmp_path, start):
    rewards = {"functions": [function("digits"), function("broken_at_the_second_step")]}
    training = start(write_recipe(tmp_path, rewards=rewards))
    assert training.wait() != 0
    assert training.screen.count("error:") == 1
    assert "broken_at_the_second_step" in training.screen and "this grader is broken" in training.screen
    assert steps_trained(tmp_path) == [1]
    training.wait_for_end_of_all(10)


def test_a_server_that_cannot_start_says_why(tmp_path, start):
    recipe = write_recipe(tmp_path, rollout={"python": str(VLLM_PYTHON), "args": ["--no-such-option"]})
    training = start(recipe)
    assert training.wait() != 0
    lines = [line for line in training.screen.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "unrecognized arguments: --no-such-option; check rollout.args" in lines[0]
    training.wait_for_end_of_all(10)

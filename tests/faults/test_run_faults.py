"""Whole runs, without vLLM, that something ends: what they say, what they leave, how they go on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training import Training, function, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HUGGING_FACE = {"use_vllm": False, "num_generations": 4, "max_completion_length": 16, "temperature": 1.0}
MISBEHAVING = """
import os, subprocess


def ends_the_trainer(completions, trainer_state, **columns):
    if trainer_state.global_step == 1:
        daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open("daemon.pid", "w").write(str(daemon.pid))
        os._exit(0)
    return [float(i % 2) for i in range(len(completions))]
"""


@pytest.fixture
def start() -> Iterator:
    started: list[Training] = []

    def run(recipe: Path, *words: str) -> Training:
        started.append(Training(recipe, *words))
        return started[-1]

    yield run
    for training in started:
        training.destroy()


def recipe_of(folder: Path, **changes) -> Path:
    path = write_recipe(folder, trl=HUGGING_FACE, **changes)
    with (folder / "my_rewards.py").open("a") as rewards:
        rewards.write(MISBEHAVING)
    return path


def test_a_reward_that_ends_the_trainer_with_code_0_and_leaves_a_daemon(tmp_path, start):
    rewards = {"functions": [function("ends_the_trainer")], "workers": 0}
    training = start(recipe_of(tmp_path, rewards=rewards))
    assert training.wait() not in (0, None)
    said = "the trainer ended in step 2 (rewards in this process: ends_the_trainer) with exit code 0"
    assert said in training.screen, training.screen
    assert not (tmp_path / "out" / "model.safetensors").exists()
    daemon = int((tmp_path / "daemon.pid").read_text())
    assert not Path(f"/proc/{daemon}").exists()
    training.wait_for_end_of_all(10)


def test_a_kill_in_a_save_leaves_the_last_whole_checkpoint_and_the_next_start_says_so(tmp_path, start):
    recipe, out = recipe_of(tmp_path, save_strategy="steps", save_steps=1), tmp_path / "out"
    training = start(recipe)
    deadline = time.monotonic() + 200
    while not (out / ".unfinished" / "checkpoint-3").exists():
        assert time.monotonic() < deadline and training.process.poll() is None, training.screen
        time.sleep(0.0005)
    training.kill("python -m axolotl.cli.train", spare="accelerate launch")
    assert training.wait() not in (0, None)
    assert "by SIGKILL" in training.screen
    names = sorted(path.name for path in out.glob("checkpoint-*"))
    assert names in (["checkpoint-1", "checkpoint-2"], ["checkpoint-1", "checkpoint-2", "checkpoint-3"])
    again = start(recipe, "--auto-resume-from-checkpoints")
    assert again.wait() == 0, again.screen
    if names[-1] == "checkpoint-2":
        assert "checkpoint-3 was not saved to its end; the run resumes from " in again.screen
    assert f"resume     from {out / names[-1]}" in again.screen
    assert (out / "model.safetensors").exists() and not (out / ".unfinished").exists()

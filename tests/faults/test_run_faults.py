"""Whole runs, without vLLM, that something ends: what they say, what they leave, how they go on."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpo_plugin.recipe.checkpoints import checkpoints, defect, newest_whole
from tests.small_disk import fill, small_disk
from tests.training import HUGGING_FACE, Training, function, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ENDLESS = {"max_steps": 1000, "num_epochs": 1000, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 2}
MISBEHAVING = """
import os, subprocess, time


def ends_the_trainer(completions, trainer_state, **columns):
    if trainer_state.global_step == 1:
        daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open("daemon.pid", "w").write(str(daemon.pid))
        os._exit(0)
    return [float(i % 2) for i in range(len(completions))]


def fills_the_disk(completions, trainer_state, **columns):
    if trainer_state.global_step == 1:
        os.system("cat /dev/zero > disk/filler 2> /dev/null")
    return [float(i % 2) for i in range(len(completions))]


def tells_and_waits(completions, trainer_state, **columns):
    if trainer_state.global_step == 1:
        open("scoring", "w").close()
        time.sleep(60)
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
    recipe, out = recipe_of(tmp_path, **ENDLESS), tmp_path / "out"
    training = start(recipe)
    wait_until(lambda: newest_whole(out) is not None and saving(out) is not None, training)
    training.kill("python -m axolotl.cli.train", spare="accelerate launch")
    assert training.wait() not in (0, None)
    assert "by SIGKILL" in training.screen
    newest, unfinished = newest_whole(out), saving(out)
    assert newest is not None and all(defect(path) is None for path in checkpoints(out))
    again = start(recipe, "--auto-resume-from-checkpoints", f"--max-steps={step_of(newest) + 2}")
    assert again.wait() == 0, again.screen
    if unfinished is not None:  # else the kill came between two saves
        assert step_of(unfinished) == step_of(newest) + 1
        assert f"{unfinished.name} was not saved to its end; the run resumes from " in again.screen
    assert f"resume     from {newest}" in again.screen
    assert (out / "model.safetensors").exists() and not (out / ".unfinished").exists()


def saving(out: Path) -> Path | None:
    """The checkpoint that is being saved, or was when the run was killed."""
    return next(out.glob(".unfinished/checkpoint-*"), None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def wait_until(condition: Callable[[], bool], training: Training) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline and training.process.poll() is None, training.screen
        time.sleep(0.0005)


def test_a_disk_that_is_full_at_a_checkpoint(tmp_path, start):
    """It holds one or two of about 9 MB."""
    with small_disk(tmp_path / "disk", 20) as disk:
        out = disk / "out"
        training = start(recipe_of(tmp_path, output_dir=str(out), save_strategy="steps", save_steps=1))
        assert training.wait(240) not in (0, None)
        newest = newest_whole(out)
        said = f"error: no space left on the disk of {out}; {newest} is whole."
        assert newest and said in training.screen and training.screen.count("error:") == 1, training.screen
        training.wait_for_end_of_all(10)
        assert all(defect(path) is None for path in checkpoints(out))
        assert not (out / "model.safetensors").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["generations and logs", "the last model", "temporary files"])
def test_a_disk_that_is_full_at(tmp_path, start, monkeypatch, what):
    with small_disk(tmp_path / "disk", 2 if what == "the last model" else 20) as disk:
        changes = {"output_dir": str(disk / "out")}
        if what == "temporary files":
            monkeypatch.setenv("TMPDIR", str(disk))
            fill(disk, leave=64 * 1024)
            changes = {}
        if what != "the last model":
            changes["rewards"] = {"functions": [function("fills_the_disk")], "workers": 0}
        training = start(recipe_of(tmp_path, **changes))
        code = training.wait(240)
        training.wait_for_end_of_all(10)
        if what == "temporary files":  # where the run goes on to write little, and can do without
            assert code == 0, training.screen
        else:
            assert code != 0 and f"error: no space left on the disk of {disk / 'out'}; no checkpoint" in training.screen


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("phase", "number"),
    [("scoring", signal.SIGHUP), ("save", signal.SIGINT)],
    ids=["hang-up in scoring", "Ctrl-C in save"],
)
def test_a_signal_in(tmp_path, start, phase, number):
    rewards = {"functions": [function("tells_and_waits" if phase == "scoring" else "digits")], "workers": 0}
    training = start(recipe_of(tmp_path, rewards=rewards, **ENDLESS))
    out = tmp_path / "out"

    def is_there() -> bool:
        if phase == "scoring":
            return (tmp_path / "scoring").exists()
        return newest_whole(out) is not None and saving(out) is not None

    wait_until(is_there, training)
    os.kill(training.process.pid, number)
    training.wait_for_end_of_all(30)
    assert training.process.wait() == 128 + number
    newest = newest_whole(out)
    assert newest is not None and f"stopped by {number.name}; to go on from {newest}, give the same" in training.screen
    assert all(defect(path) is None for path in checkpoints(out))

"""How a training process starts and ends, in real processes."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from grpo_plugin.console import training_process
from grpo_plugin.console.screen import Screen
from grpo_plugin.recipe import parse

RECIPE = {
    "base_model": "user/model",
    "plugins": ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin"],
    "prompts": {"train": "data.jsonl"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "trl": {"num_generations": 4},
    "output_dir": "out",
    "axolotl_config_path": "recipe.yaml",
}
# axolotl.train imports torch and all the rest, for ten seconds; one function of it is replaced.
PROGRAM = """
import json, os, sys, types
import axolotl
axolotl.train = sys.modules["axolotl.train"] = types.SimpleNamespace(setup_reference_model=None)
from grpo_plugin.run import Run
from axolotl.utils.dict import DictDefault
cfg = DictDefault(json.load(open("recipe.json")))
run = Run.begin(cfg)
print("a library's line")
"""


@pytest.fixture
def start(tmp_path):
    """Start a training process of a recipe with changed keys, and a program that goes on after `Run.begin`."""
    processes = []
    (tmp_path / "data.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')

    def start(then, environ=None, **changes):
        (tmp_path / "recipe.json").write_text(json.dumps(RECIPE | changes))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPO_")}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + textwrap.dedent(then)],
            cwd=tmp_path,
            env=inherited | (environ or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def shown(process):
    return process.communicate(timeout=120)[0].splitlines()


def save_checkpoint(tmp_path, step):
    folder = tmp_path / "out" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")


def signalled(process, number):
    """Exit code and last line of a process that was waiting for training's signals."""
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "running\n":
        assert line, "it ended before"
    process.send_signal(number)
    (line,) = shown(process)
    return process.returncode, line


WAIT = """
import time
run.mind_signals()
run.screen.note("running")
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_names_the_newest_checkpoint_and_is_the_exit_code(start, tmp_path, number):
    for step in (9, 10):
        save_checkpoint(tmp_path, step)
    assert signalled(start(WAIT), number) == (
        128 + number,
        f"stopped by {number.name}; to go on from out/checkpoint-10, give the same command with "
        "--auto-resume-from-checkpoints.",
    )


def test_a_recipe_that_saves_no_checkpoint_is_told_which_key_does(start):
    code, line = signalled(start(WAIT, save_strategy="no"), signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert line.endswith("with save_strategy: no; set save_steps to save one every so many steps.")


def test_library_output_goes_to_the_debug_log_and_an_error_is_one_sentence_told_once(start, tmp_path):
    session = tmp_path / "session"
    session.mkdir()
    environ = {"GRPO_SESSION": str(session), "GRPO_LAUNCHER": str(os.getpid())}
    failing = """
        from grpo_plugin.errors import RolloutError
        os.write(2, b"noise from C\\n")
        raise RolloutError("vLLM ended; restart it.")
    """
    process = start(failing, environ)
    assert shown(process) == ["recipe     recipe.yaml → out", "error: vLLM ended; restart it."]
    assert process.returncode == 1
    log = (tmp_path / "out" / "debug.log").read_text()
    assert all(text in log for text in ("a library's line", "noise from C", "Traceback", "RolloutError"))
    assert (session / "reported").exists()
    other_rank = start(failing, environ | {"RANK": "1"})
    assert (shown(other_rank), other_rank.returncode) == ([], 1), "one rank of many tells it, the main one shows more"


def test_an_incomplete_checkpoint_is_skipped_by_axolotl_too(start, tmp_path):
    save_checkpoint(tmp_path, 10)
    (tmp_path / "out" / "checkpoint-20").mkdir()
    process = start(
        """
        from axolotl.utils.train import determine_last_checkpoint
        run.screen.note(str(determine_last_checkpoint(cfg)))
        """,
        auto_resume_from_checkpoints=True,
    )
    assert shown(process) == [
        "recipe     recipe.yaml → out",
        "checkpoint-20 is incomplete (it has no trainer_state.json); the run resumes from out/checkpoint-10.",
        "resume     from out/checkpoint-10",
        "out/checkpoint-10",
    ]


def test_without_a_whole_checkpoint_axolotl_is_told_to_take_none(tmp_path):
    (tmp_path / "out" / "checkpoint-20").mkdir(parents=True)
    stream = io.StringIO()
    cfg = RECIPE | {"auto_resume_from_checkpoints": True, "output_dir": str(tmp_path / "out")}
    training_process._choose_checkpoint(parse(cfg), cfg, Screen(stream))
    assert stream.getvalue() == (
        "checkpoint-20 is incomplete (it has no trainer_state.json); the run starts at step 0.\n"
    )
    assert cfg["auto_resume_from_checkpoints"] is None and "resume_from_checkpoint" not in cfg

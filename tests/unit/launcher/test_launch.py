"""What stops `axolotl train` before Axolotl is imported."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.launcher import launch
from grpo_plugin.launcher.arguments import read_train
from grpo_plugin.launcher.launch import before_axolotl
from grpo_plugin.recipe import parse, read
from grpo_plugin.session import Session

MEETING = ("--num-machines=2", "--machine-rank=0", "--main-process-ip=10.0.0.1", "--main-process-port=29500")
RECIPE = """
base_model: user/model
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.RolloutPlugin]
prompts: {train: user/data@train}
rewards: {functions: [{function: rewards.math.accuracy}]}
rollout: {}
trl: {num_generations: 4, generation_batch_size: 48}
micro_batch_size: 4
bf16: false
"""


class Started(Exception):
    pass


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe that a machine of four GPUs trains on three of them; a run that would begin raises Started."""

    def start(recipe: object, arguments: object) -> None:
        raise Started

    monkeypatch.setattr(launch, "_start", start)
    monkeypatch.setattr(launch.telemetry, "turn_off", lambda: None)  # it would change this process's environment
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return str(path)


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        before_axolotl(["train", *words])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_run_that_can_start_does(recipe):
    for words in (
        ["--num-processes=3"],
        ["--num-processes", "3", "--max-steps", "-1", "--learning-rate=1e-6", "--debug", "--mixed_precision=bf16"],
        ["--num-processes=6", *MEETING],
        ["--", "--num_processes=3", "--whatever=1"],
        ["--launcher=torchrun", "--nproc-per-node=3"],
    ):
        with pytest.raises(Started):
            before_axolotl(["train", recipe, *words])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning-rat=3"], "--learning-rat: unknown option; did you mean '--learning-rate'?"),
        (["--num-proceses=3"], "--num-proceses: unknown option; did you mean '--num-processes'?"),
        (["--trl.num_generations=4"], "--trl.num_generations: unknown option; did you mean '--trl.num-generations'?"),
        (["--launcher=torchrun", "--nnode=2"], "--nnode: unknown option; did you mean '--nnodes'?"),
        (["other.yaml"], "'other.yaml': neither an option nor an option's value; remove it."),
        (["--num-processes=three"], "--num-processes: expected a whole number, got 'three'."),
        (["--micro-batch-size=abc"], "micro_batch_size: expected a whole number of 1 or more, got 'abc'."),
        (["--num-processes=4"], "--num-processes=4: of 4 visible GPU(s) the last 1 serve vLLM and 3 remain to train"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(recipe, capsys, words, expected):
    assert expected in mistake(capsys, recipe, *words)


def test_other_recipes_are_left_to_axolotl(recipe, capsys, monkeypatch):
    """Nothing is checked, printed, started or put into the environment."""
    Path(recipe).write_text("base_model: user/model\ndatasets: []\n")
    before = dict(os.environ)
    assert before_axolotl(["train", recipe, "--learning-rat=3", "--num-machines=x"]) is None
    assert capsys.readouterr() == ("", "")
    assert dict(os.environ) == before
    Path(recipe).write_text(RECIPE)
    with pytest.raises(SystemExit):
        before_axolotl(["train", recipe, "--learning-rat=3"])


def test_other_commands_and_a_recipe_that_is_not_there_are_left_to_axolotl(recipe, capsys):
    for words in (["preprocess", recipe, "--learning-rat=3"], ["train", "nowhere.yaml"], ["train"], []):
        assert before_axolotl(words) is None
    assert capsys.readouterr() == ("", "")


def test_a_recipe_for_the_cloud_is_checked_here(recipe, capsys, tmp_path):
    cloud = tmp_path / "cloud.yaml"
    cloud.write_text("{provider: modal, gpu: h100, gpu_count: 4, volumes: [{name: kept, mount: /data}]}")
    Path(recipe).write_text(RECIPE + "max_step: 3\n")
    assert "max_step: unknown key; did you mean 'max_steps'?" in mistake(capsys, recipe, "--cloud", str(cloud))


def test_a_checkpoint_that_cannot_be_resumed_from_stops_the_run_before_anything_starts(recipe, capsys, tmp_path):
    said = mistake(capsys, recipe, "--num-processes=3", f"--resume-from-checkpoint={tmp_path / 'checkpoint-5'}")
    assert "resume_from_checkpoint: " in said and "there is no such folder; drop the key to start at step 0" in said


def test_an_output_dir_that_cannot_be_made_leaves_nothing_behind(recipe, tmp_path, monkeypatch):
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(launch.tempfile, "tempdir", str(sessions))
    values = read(recipe, {"output_dir": str(tmp_path / "file" / "out")})
    with pytest.raises(RecipeError, match=r"output_dir: '.*/file/out' cannot be written \(Not a directory\)"):
        launch.Launch(parse(values), read_train(["train", recipe]))
    assert list(sessions.iterdir()) == []


def test_a_run_is_asked_to_stop_although_its_screen_is_gone(tmp_path, monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    run = Session(tmp_path)
    run.report_can_save()
    with os.fdopen(writes, "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        watched = SimpleNamespace(session=run, stop_timeout=300.0)
        assert launch.Launch._ask_to_stop(watched, signal.SIGTERM) == 300.0
    assert run.asked_to_stop == signal.SIGTERM


def test_an_end_without_a_sentence_says_where_it_was(tmp_path):
    log, where = launch.DebugLog(tmp_path), "in step 2 (rewards)"
    log.path.write_text("the last line\n")
    assert launch._unreported(1, None, log) == f"training ended with exit code 1; the end of {log.path}:\nthe last line"
    assert launch._unreported(1, where, log).startswith("training ended with exit code 1 in step 2 (rewards); the end")
    said = launch._unreported(0, where, log)
    assert said.startswith("the trainer ended in step 2 (rewards) with exit code 0, before its model was saved; ")
    log.path.write_text("subprocess.CalledProcessError: Command died with <Signals.SIGSEGV: 11>.\n")
    said = launch._unreported(1, where, log)
    assert said == f"the trainer was ended in step 2 (rewards) by SIGSEGV; the log is {log.path}"


@pytest.mark.parametrize("left_out", MEETING[1:])
def test_several_machines_must_be_told_where_they_meet(recipe, capsys, left_out):
    words = ["--num-processes=6", *(word for word in MEETING if word != left_out)]
    name = left_out.partition("=")[0]
    assert f"error: {name}: missing; with --num-machines=2 give every machine" in mistake(capsys, recipe, *words)


def test_several_machines_must_be_told_the_processes(recipe, capsys):
    assert "error: --num-processes: missing; " in mistake(capsys, recipe, *MEETING)
    assert "--num-processes, --machine-rank, --main-process-ip, --main-process-port: missing" in mistake(
        capsys, recipe, "--num-machines=2"
    )


def test_accelerates_own_file_may_tell_it(recipe, tmp_path):
    (tmp_path / "accelerate").mkdir()
    (tmp_path / "accelerate" / "default_config.yaml").touch()
    with pytest.raises(Started):
        before_axolotl(["train", recipe, "--num-machines=2", "--num-processes=6"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--num-processes=10"], "--num-processes=5: of 4 visible GPU(s) the last 1 serve vLLM"),
        (["--num-processes=7"], "--num-processes=7: each of 2 machines needs the same; use a multiple of 2."),
        (["--num-processes=6", "--micro-batch-size=3"], "48 completions cannot be shared by 6 process(es)"),
    ],
)
def test_several_machines_are_held_to_the_plan(recipe, capsys, words, expected):
    assert expected in mistake(capsys, recipe, *words, *MEETING)


def test_without_a_gpu_a_recipe_says_that_it_trains_in_float32(recipe, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path(recipe).write_text(RECIPE.replace("bf16: false\n", ""))
    assert "set bf16: false" in mistake(capsys, recipe, "--num-processes=1")
    Path(recipe).write_text(RECIPE)
    for processes in (1, 2):
        with pytest.raises(Started):
            before_axolotl(["train", recipe, f"--num-processes={processes}"])


def test_cloud_runs_one_recipe_in_one_container(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cloud = tmp_path / "cloud.yaml"
    cloud.write_text("{gpu: h200, gpu_count: 4, volumes: [{name: kept, mount: /data}]}")
    with pytest.raises(SystemExit) as end:
        before_axolotl(["train", "--num-processes=3", f"--cloud={cloud}", "--dry-run", recipe])
    assert end.value.code == 0
    assert "axolotl train recipe.yaml --num-processes=3 --output-dir=" in capsys.readouterr().out
    assert "--num-processes=7: of 4 visible" in mistake(capsys, recipe, "--num-processes=7", f"--cloud={cloud}")
    for words in (["--sweep=s.yaml"], ["--num-machines=2", "--num-processes=6"]):
        assert "cannot be combined with --cloud" in mistake(capsys, recipe, *words, f"--cloud={cloud}")

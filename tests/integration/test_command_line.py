"""The `axolotl` command as a user types it, in a real process.

What Axolotl would start is replaced by a program of the same name that prints its words: accelerate, because it would
train, and truss, because it would rent a machine.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

FORMS = [
    ["--num-processes=7", "recipe.yaml"],
    ["--num-processes", "7", "recipe.yaml"],
    ["recipe.yaml", "--num-processes=7"],
    ["recipe.yaml", "--num-processes", "7"],
]


@pytest.fixture
def place(tmp_path):
    """A folder with a recipe that is none of ours, and stand-ins for what Axolotl starts."""
    (tmp_path / "recipe.yaml").write_text("base_model: some/model\ndatasets: [{path: some/data}]\n")
    (tmp_path / "cloud.yaml").write_text("provider: baseten\n")
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, script in {"accelerate": 'echo "$@"', "truss": "cat cloud.yaml"}.items():
        (stand_ins / name).write_text(f"#!/bin/sh\n{script}\n")
        (stand_ins / name).chmod(0o755)
    return tmp_path


def axolotl(place, *words, **env):
    environ = {key: value for key, value in os.environ.items() if "DO_NOT_TRACK" not in key}
    environ |= {"PATH": f"{place / 'bin'}:{BIN}:{environ['PATH']}"} | env
    command = [str(BIN / "axolotl"), *words]
    return subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("words", FORMS, ids=" ".join)
def test_every_order_of_options_reaches_accelerate(place, words):
    run = axolotl(place, "train", *words)
    assert run.returncode == 0, run.stderr
    launched = run.stdout.splitlines()[-1].split()
    assert launched[:1] == ["launch"]
    assert " ".join(launched).replace("=", " ").find("--num-processes 7") >= 0
    assert launched[launched.index("-m") :][:3] == ["-m", "axolotl.cli.train", "recipe.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        ["--num-processes=7", "recipe.yaml", "--cloud", "cloud.yaml"],
        ["--cloud", "cloud.yaml", "--num-processes", "7", "recipe.yaml"],
        ["recipe.yaml", "--num-processes", "7", "--cloud=cloud.yaml"],
    ],
    ids=" ".join,
)
def test_every_order_of_options_reaches_the_cloud(place, words):
    run = axolotl(place, "train", *words)
    assert run.returncode == 0, run.stderr
    arguments = run.stdout[run.stdout.index("launcher_args:") :]
    assert "--num-processes" in arguments and "7" in arguments


def test_a_missing_recipe_is_named(place):
    run = axolotl(place, "train", "--num-processes=1", "nowhere.yaml")
    assert run.returncode != 0
    assert "'nowhere.yaml' does not exist" in run.stderr + run.stdout


OURS = """
base_model: some/model
plugins: [grpo_plugin.PromptPlugin, grpo_plugin.RewardPlugin, grpo_plugin.RolloutPlugin]
prompts: {train: data.jsonl}
rewards: {functions: [{function: rewards.math.accuracy}]}
rollout: {}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("grpo_plugin.RolloutPlugin", "grpo_plugin.RoloutPlugin", "did you mean 'grpo_plugin.RolloutPlugin'"),
        ("rollout: {}", "rollout: {restart: 3}", "rollout.restart: unknown key; did you mean 'restarts'?"),
        ("rollout: {}", "rollout: {}\ntrl: {temprature: 1}", "trl.temprature: unknown key; did you mean 'temperature'"),
        ("rewards: {functions: [{function: rewards.math.accuracy}]}\n", "", "rewards: missing"),
        ("data.jsonl", "nowhere.jsonl", "nowhere.jsonl"),
    ],
)
def test_a_wrong_recipe_stops_in_one_sentence_before_anything_is_loaded(place, old, new, sentence):
    (place / "data.jsonl").write_text('{"prompt": "1+1"}\n')
    (place / "recipe.yaml").write_text(OURS.replace(old, new))
    run = axolotl(place, "train", "--num-processes=1", "recipe.yaml")
    assert run.returncode == 2
    assert run.stderr.startswith("error: ") and len(run.stderr.splitlines()) == 1
    assert sentence in run.stderr
    assert run.stdout == ""


def test_our_own_commands_have_stdout_for_themselves(place):
    (place / "data.jsonl").write_text('{"prompt": "1+1"}\n')
    (place / "recipe.yaml").write_text(OURS)
    run = axolotl(place, "grpo", "serve", "recipe.yaml", "--dry-run")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 1
    assert "-m vllm.entrypoints.openai.api_server --model some/model" in run.stdout


def test_telemetry_stays_off_unless_the_user_has_a_word(place):
    (place / "bin" / "accelerate").write_text('#!/bin/sh\necho "tracking ${AXOLOTL_DO_NOT_TRACK-unset}"\n')
    assert "tracking 1" in axolotl(place, "train", "recipe.yaml").stdout
    assert "tracking 0" in axolotl(place, "train", "recipe.yaml", AXOLOTL_DO_NOT_TRACK="0").stdout


def test_the_startup_hook_is_cheap_and_waits_only_for_axolotl():
    code = "import sys; print(*[m for m in ('torch', 'yaml', 'pydantic', 'typing', 'click') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
    code = (
        "import sys; from grpo_plugin.launcher.startup import _AxolotlCommand as hook; print(hook in sys.meta_path); "
        "import json, click; print(hook in sys.meta_path); import axolotl.cli.main; print(hook in sys.meta_path)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True", "False"]

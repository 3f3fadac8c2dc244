"""`axolotl grpo cloud flexai`: commands that are printed, and one that is run by a stand-in for FlexAI's program."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.cloud import cloud

ROOT = Path(__file__).parents[3]
WORDS = ("flexai", "recipes/gsm8k.yaml", "--accels", "2", "--repository-url", "https://example.com/clone")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def printed(*more: str) -> list[list[str]]:
    done = CliRunner().invoke(cloud, [*WORDS, *more])
    assert done.exit_code == 0, done.output
    return [shlex.split(line) for line in done.stdout.splitlines() if not line.startswith("#")]


def test_the_training_job():
    words = ("--secret", "HF_TOKEN=hf-token", "--runtime", "nvidia-25.03", "--learning-rate=1e-6")
    assert printed(*words)[0] == [
        *["flexai", "training", "run", "gsm8k", "--accels", "2", "--nodes", "1"],
        *["--repository-url", "https://example.com/clone", "--requirements-path", "cloud/flexai.requirements.txt"],
        *["--secret", "HF_TOKEN=hf-token", "--env", "AXOLOTL_DO_NOT_TRACK=1", "--runtime", "nvidia-25.03"],
        *["--", "/layers/flexai_pip-install/packages/bin/axolotl", "train", "recipes/gsm8k.yaml", "--num-processes=1"],
        *["--learning-rate=1e-6", "--output-dir=/output-checkpoint"],
    ]
    assert (ROOT / "cloud/flexai.requirements.txt").is_file()


def test_a_pushed_model_is_read_where_flexai_mounts_it():
    (train, *rest) = printed("--checkpoint", "mine", "--secret", "HF_TOKEN=hf")
    assert train[train.index("--checkpoint") + 1] == "mine" and "--base-model=/input-checkpoint" in train
    assert " ".join(rest[-1]) == (
        "flexai checkpoint push gsm8k-model --storage-provider huggingface --source-path Qwen/Qwen2.5-1.5B-Instruct"
    )


def test_the_job_can_be_followed_and_its_checkpoints_served():
    commands = [" ".join(command[:4]) for command in printed("--name", "mine")]
    assert [command for command in commands if command.startswith("flexai training")][1:] == [
        f"flexai training {what} mine" for what in ("inspect", "logs", "checkpoints")
    ]
    assert "flexai inference serve mine" in commands and "flexai inference logs mine" in commands


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--accels", "1"), "(--accels 1)."),
        (("--secret", "hf_token_value"), "--secret: expected VARIABLE=NAME, the name of a secret at FlexAI"),
        (("--lerning-rate=1",), "--lerning-rate: unknown option; did you mean '--learning-rate'?"),
    ],
)
def test_mistakes(words, sentence):
    done = CliRunner().invoke(cloud, [*WORDS, *words])
    assert done.exit_code == 2 and sentence in done.stderr


def test_run_starts_the_job_where_the_program_is(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = CliRunner().invoke(cloud, [*WORDS, "--run"])
    assert missing.exit_code == 2 and "there is no program flexai here" in missing.stderr
    program = tmp_path / "flexai"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/given\nexit 5\n')
    program.chmod(0o755)
    assert CliRunner().invoke(cloud, [*WORDS, "--run"]).exit_code == 5
    assert (tmp_path / "given").read_text().startswith("training run gsm8k --accels 2")

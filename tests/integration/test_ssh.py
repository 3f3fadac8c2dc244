"""`axolotl grpo cloud ssh` against a real sshd and rsync: a stand-in for axolotl prints, waits and ends."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.ssh_server import ssh_server
from tests.training import BIN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Says what it was started with, saves something, and on SIGTERM what a run would.
AXOLOTL = """#!/bin/bash
trap 'echo saved > out/checkpoint; exit 143' TERM
mkdir -p out
echo "$PWD: $*" "${TOKEN:-no token}"
cat model/config.json my_rewards.py > /dev/null && echo read
if [ -f fails ]; then exit 7; fi
if [ -f waits ]; then echo waiting; sleep 60 & wait $!; fi
echo weights > out/model.safetensors
"""


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as command:
        yield command


class Here:
    """The folder of a user, and one on the machine behind ssh."""

    def __init__(self, folder: Path, ssh: str) -> None:
        self.here, self.there, self._ssh = folder / "here", folder / "there run", ssh
        (self.here / "model").mkdir(parents=True)
        self.there.mkdir()
        (self.here / "model" / "config.json").write_text('{"model_type": "qwen2"}')
        (self.here / "my_rewards.py").write_text("def digits(completions): return [0.0] * len(completions)\n")
        (self.here / "secret.txt").write_text("not named, stays here")
        recipe = {
            "base_model": "model",
            "plugins": ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin"],
            "prompts": {"train": "owner/data@train"},
            "rewards": {"functions": [{"function": "my_rewards.py:digits"}]},
            "trl": {"max_completion_length": 8},
            "output_dir": "out",
        }
        (self.here / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        program = folder / "axolotl"
        program.write_text(AXOLOTL)
        program.chmod(0o755)
        self._options = ["--ssh", ssh, "--folder", str(self.there), "--axolotl", str(program)]

    def command(self, *words: str) -> list[str]:
        return [str(BIN / "axolotl"), "grpo", "cloud", "ssh", "127.0.0.1", "recipe.yaml", *self._options, *words]

    def run(self, *words: str) -> subprocess.CompletedProcess:
        environ = os.environ | {"TOKEN": "hf_it's"}
        return subprocess.run(
            self.command(*words), cwd=self.here, env=environ, capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def host(tmp_path: Path, ssh: str) -> Here:
    return Here(tmp_path, ssh)


def test_a_run_gets_its_files_and_its_end_is_seen_here(host):
    done = host.run("--secret", "TOKEN", "--num-processes=7", "--learning-rate=1e-6")
    assert done.returncode == 0, done.stderr
    assert f"{host.there}: train recipe.yaml --num-processes=7 --learning-rate=1e-6 hf_it's" in done.stdout
    assert "read" in done.stdout
    assert not (host.there / "secret.txt").exists()
    assert host.run("--fetch").returncode == 0
    assert (host.here / "out" / "model.safetensors").read_text() == "weights\n"


def test_a_run_that_fails_there_fails_here(host):
    assert "no run was started there" in host.run("--follow").stderr
    (host.there / "fails").touch()
    assert host.run().returncode == 7


def test_a_run_outlives_the_connection_and_is_followed_and_stopped(host):
    (host.there / "waits").touch()
    following = subprocess.Popen(host.command(), cwd=host.here, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    assert any("waiting" in line for line in following.stdout)
    following.kill()
    following.wait()
    (host.here / "my_rewards.py").write_text("def digits(completions): return [1.0] * len(completions)\n")
    second = host.run()
    assert second.returncode == 2 and "a run is under way there" in second.stderr
    assert "[0.0]" in (host.there / "my_rewards.py").read_text(), "the files of the run stay as they are"
    assert host.run("--stop").returncode == 0
    followed = host.run("--follow")
    assert followed.returncode == 143 and "waiting" in followed.stdout
    assert (host.there / "out" / "checkpoint").read_text() == "saved\n"
    assert "no run is under way there" in host.run("--stop").stderr


def test_a_process_that_has_the_number_of_an_ended_run_is_left_alone(host):
    other = subprocess.Popen(["sleep", "60"])
    try:
        (host.there / "run.pid").write_text(f"{other.pid} 12345\n")
        assert "no run is under way there" in host.run("--stop").stderr
        assert host.run().returncode == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert not (host.there / "run.pid").exists()


def test_what_is_missing_is_one_sentence(host):
    unreachable = host.run("--ssh", "ssh -F none -p 1")
    assert (
        unreachable.returncode == 2
        and "127.0.0.1: no connection; a run that was started goes on. Try `ssh" in unreachable.stderr
    )
    no_program = host.run("--axolotl", "venv/bin/axolotl")
    assert no_program.returncode == 2 and "--axolotl: 'venv/bin/axolotl' is not on 127.0.0.1" in no_program.stderr
    no_secret = host.run("--secret", "NOT_SET")
    assert no_secret.returncode == 2 and "--secret: NOT_SET is not set here" in no_secret.stderr

import importlib.util
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from grpo_plugin.compat.axolotl_cli import accept_config_anywhere, spec
from grpo_plugin.launcher.arguments import config_first


@pytest.fixture
def group():
    """As Axolotl builds its commands: `train` passes unknown options on, `fetch` does not."""
    group = click.Group()

    @group.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    @click.argument("config")
    @click.option("--cloud")
    @click.option("--debug", is_flag=True)
    @click.pass_context
    def train(context, config, cloud, debug):
        print(config, cloud, debug, context.args)

    @group.command()
    @click.argument("config")
    def fetch(config):
        print(config)

    accept_config_anywhere(group, config_first)
    return group


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("r.yaml --num-processes=7", "r.yaml None False ['--num-processes=7']"),
        ("--num-processes=7 r.yaml", "r.yaml None False ['--num-processes=7']"),
        ("--num-processes 7 r.yaml --debug", "r.yaml None True ['--num-processes', '7']"),
        ("--cloud c.yaml r.yaml --x=1", "r.yaml c.yaml False ['--x=1']"),
    ],
)
def test_the_config_may_stand_anywhere(group, words, expected):
    assert CliRunner().invoke(group, ["train", *words.split()]).output.strip() == expected


def test_commands_that_take_no_unknown_options_are_left_as_they_are(group):
    assert CliRunner().invoke(group, ["fetch", "--x", "r.yaml"]).exit_code == 2


def test_wrapping_twice_wraps_once(group):
    once = group.commands["train"].parse_args
    accept_config_anywhere(group, config_first)
    assert group.commands["train"].parse_args is once


def test_a_module_that_is_not_there_has_no_spec():
    assert spec("no_such_module_anywhere", lambda words: None, config_first) is None


def test_the_loader_prepares_first_and_hands_on_everything_else(tmp_path, monkeypatch):
    (tmp_path / "stand_in_main.py").write_text("import click\ncli = click.Group()\nsteps.append('loaded')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = []
    found = spec("stand_in_main", lambda words: steps.append(words), config_first)
    module = importlib.util.module_from_spec(found)
    module.steps = steps
    assert found.loader.path == str(tmp_path / "stand_in_main.py"), "an attribute of the real loader"
    monkeypatch.setattr(sys, "argv", ["/venv/bin/axolotl", "train", "r.yaml"])
    found.loader.exec_module(module)
    assert steps == [["train", "r.yaml"], "loaded"]
    steps.clear()
    monkeypatch.setattr(sys, "argv", ["pytest", "train"])
    found.loader.exec_module(module)
    assert steps == ["loaded"], "another program than axolotl starts nothing"


def test_the_logo_stays_off_the_output_of_grpo_commands():
    code = (
        "import sys; from axolotl.cli import art; from grpo_plugin.compat.axolotl_cli import keep_logo_out; "
        "keep_logo_out(); art.print_axolotl_text_art()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (0, "")

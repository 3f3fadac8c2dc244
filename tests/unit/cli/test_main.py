import subprocess
import sys

import pytest
from click.testing import CliRunner

from grpo_plugin.cli.main import COMMANDS, grpo


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_tells_its_use(name):
    result = CliRunner().invoke(grpo, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: grpo {name} ")


def test_the_list_of_commands_imports_none_of_them():
    code = (
        "import sys; from click.testing import CliRunner; from grpo_plugin.cli.main import grpo; "
        "print(CliRunner().invoke(grpo, ['--help']).output); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'vllm', 'transformers', 'grpo_plugin.cli.serve')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in COMMANDS)


def test_an_unknown_command_is_refused():
    assert CliRunner().invoke(grpo, ["serv"]).exit_code == 2


def test_configuration_and_commands_load_neither_torch_nor_vllm():
    modules = ", ".join(
        f"grpo_plugin.{name}" for name in ("recipe", "session", "launcher.launch", "cli.serve", "cli.plan")
    )
    code = f"import sys, {modules}; sys.exit(any(name in sys.modules for name in ('torch', 'vllm', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

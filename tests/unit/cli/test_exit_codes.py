"""Each sub-command, given something it cannot work with: one sentence on standard error and exit code 2."""

import click
import pytest
from click.testing import CliRunner

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.main import COMMANDS, grpo
from grpo_plugin.errors import DataError

BAD = {
    "recipes": ["no_such_recipe", "--out", "out"],
    "plan": ["recipe.yaml"],
    "check-rewards": ["recipe.yaml"],
    "score": ["completions.jsonl", "--rewards", "rewards.math.no_such_function"],
    "stats": ["recipe.yaml"],
    "evaluate": ["recipe.yaml"],
    "report": ["."],
    "checkpoints": ["."],
    "export": [".", "--out", "out"],
    "serve": ["recipe.yaml", "--dry-run"],
    "chat": ["recipe.yaml"],
    "compare": ["base", "trained", "--prompts", "recipe.yaml"],
    "replay": [".", "--step", "1"],
    "convert": ["raiden", "broken.json", "out.jsonl"],
    "import-easyr1": ["recipe.yaml"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "recipe.yaml").write_text("rewards: nonsense\nplugins: [grpo_plugin.RewardPlugin]\n")
    (tmp_path / "completions.jsonl").write_text('{"prompt": "1+1=", "completion": "2", "answer": "2"}\n')
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.chdir(tmp_path)


def test_every_sub_command_that_reads_something_is_tried():
    others = {name: grpo.get_command(None, name) for name in COMMANDS.keys() - BAD.keys()}
    assert not [name for name, command in others.items() if any(isinstance(p, click.Argument) for p in command.params)]
    assert BAD.keys() <= COMMANDS.keys()


@pytest.mark.parametrize("name", BAD)
def test_an_error_of_ours_is_one_sentence_and_exit_code_2(folder, name):
    result = CliRunner().invoke(grpo, [name, *BAD[name]])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *logged, sentence = result.stderr.splitlines()
    assert sentence.startswith("error: ")
    assert all("torch/" in line for line in logged), "what torch says when it is imported"


def test_other_errors_are_not_swallowed(capsys):
    @errors_exit_2
    def command(error):
        raise error

    with pytest.raises(ZeroDivisionError):
        command(ZeroDivisionError("a bug"))
    with pytest.raises(SystemExit, match="2"):
        command(DataError("data.jsonl row 3: no prompt."))
    assert capsys.readouterr().err == "error: data.jsonl row 3: no prompt.\n"


def test_what_a_command_returns_and_its_name_stay():
    @errors_exit_2
    def command(number: int) -> int:
        """Says what it does."""
        return number + 1

    assert command(2) == 3
    assert (command.__name__, command.__doc__) == ("command", "Says what it does.")

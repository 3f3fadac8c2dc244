import subprocess
import sys

import pytest

from grpo_plugin.launcher.options import launcher_options, override_names, pairs, train_options, unknown


def test_pairs_are_options_with_their_values():
    words = ["--a=1", "--b", "2", "--flag", "--c", "-1", "--d", "-.5", "stray", "-x"]
    expected = [("--a", "1"), ("--b", "2"), ("--flag", None), ("--c", "-1"), ("--d", "-.5"), ("stray", None)]
    assert list(pairs(words)) == [*expected, ("-x", None)]


def test_the_first_unknown_word_is_told():
    known = ["--learning-rate", "--gpus"]
    assert unknown(["--learning-rate", "1e-5", "--gpus=8"], known, "here") is None
    assert unknown(["--gpus=8", "--gpu=8"], known, "here") == "--gpu: unknown option; did you mean '--gpus'?"
    assert unknown(["--xyz"], known, "here") == "--xyz: unknown option; known ones are listed by here."
    assert unknown(["--gpus", "8", "9"], known, "here") == "'9': neither an option nor an option's value; remove it."


def test_the_overrides_are_axolotls():
    names = override_names()
    assert names["--trl.num-generations"] == "trl.num_generations" and names["--learning-rate"] == "learning_rate"
    assert {"--debug", "--no-debug", "--prompter", "--help"} <= train_options()


@pytest.mark.parametrize("launcher", ["accelerate", "torchrun"])
def test_the_launchers_options_are_those_of_its_own_parser(launcher):
    if launcher == "accelerate":
        from accelerate.commands.launch import launch_command_parser as parser
    else:
        from torch.distributed.run import get_args_parser as parser
    theirs = {option for action in parser()._actions for option in action.option_strings if option.startswith("--")}
    assert theirs <= launcher_options(launcher) | {"--help"}


def test_other_launchers_take_no_options():
    assert launcher_options("python") == set()


def test_reading_options_loads_neither_torch_nor_accelerate():
    code = (
        "import sys; from grpo_plugin.launcher.arguments import read_train; read_train(['train', 'r.yaml', '--x=1']); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'accelerate', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

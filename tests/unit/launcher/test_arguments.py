import sys

import pytest

from grpo_plugin.launcher import startup
from grpo_plugin.launcher.arguments import config_first, read_train, without_own

VALUED = {"--cloud", "--launcher", "--sweep"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--num-processes=7", "r.yaml"], ["r.yaml", "--num-processes=7"]),
        (["--num-processes", "7", "r.yaml"], ["r.yaml", "--num-processes", "7"]),
        (["r.yaml", "--num-processes=7"], ["r.yaml", "--num-processes=7"]),
        (["--cloud", "c.yaml", "--num-processes=7", "r.yaml"], ["r.yaml", "--cloud", "c.yaml", "--num-processes=7"]),
        (["--num-processes=7", "r.yml", "--cloud", "c.yaml"], ["r.yml", "--num-processes=7", "--cloud", "c.yaml"]),
        (["--x=1", "https://h/r.yaml"], ["https://h/r.yaml", "--x=1"]),
        (["--launcher", "torchrun", "r.yaml", "--", "--nproc_per_node=2"], None),
        (["--num-processes=7"], None),
        (["--", "r.yaml"], None),
    ],
)
def test_config_first(given, expected):
    if expected is None:
        expected = ["r.yaml", *[word for word in given if word != "r.yaml"]] if given[0] == "--launcher" else given
    assert config_first(given, VALUED) == expected


def test_config_first_takes_a_folder_when_no_file_is_named(tmp_path):
    assert config_first(["--num-processes=2", str(tmp_path)], VALUED) == [str(tmp_path), "--num-processes=2"]


def test_read_train_finds_launcher_options_and_typed_overrides():
    words = "train --num-processes 7 --learning-rate=1e-5 r.yaml --trl.max-completion-length=5 --machine_rank=1"
    found = read_train(words.split())
    assert (found.recipe, found.num_processes, found.machine_rank) == ("r.yaml", 7, 1)
    assert found.overrides["trl.max_completion_length"] == 5
    assert float(found.overrides["learning_rate"]) == 1e-5


def test_read_train_leaves_other_commands_alone():
    assert read_train(["preprocess", "r.yaml"]) is None
    assert read_train(["train", "--help"]) is None
    assert read_train([]) is None


def test_words_behind_the_separator_belong_to_the_launcher():
    found = read_train(["train", "r.yaml", "--launcher", "torchrun", "--", "--nproc_per_node=2", "other.yaml"])
    assert (found.recipe, found.launcher, found.overrides) == ("r.yaml", "torchrun", {})


def test_words_behind_the_separator_are_no_overrides_but_may_name_machines():
    found = read_train(["train", "r.yaml", "--", "--num_processes=2", "--learning-rate=1"])
    assert (found.num_processes, found.overrides, found.mistake) == (2, {}, None)


def test_a_negative_number_is_a_value_and_broken_yaml_is_text():
    found = read_train(["train", "r.yaml", "--max-steps", "-1", "--optimizer=[1"])
    assert found.overrides == {"max_steps": -1, "optimizer": "[1"} and found.mistake is None


@pytest.mark.parametrize(("words", "first"), [([], True), (["--machine-rank=0"], True), (["--machine_rank=1"], False)])
def test_the_first_machine(words, first):
    assert read_train(["train", "r.yaml", *words]).is_first is first


@pytest.mark.parametrize(
    "words",
    [
        "train --num-processes=7 r.yaml --cloud c.yaml --dry-run --trl.beta=0.1",
        "train --cloud=c.yaml --num-processes=7 --dry-run r.yaml --trl.beta=0.1",
        "train --dry-run --cloud c.yaml --num-processes=7 --trl.beta=0.1 r.yaml",
        "train r.yaml --num-processes=7 --trl.beta=0.1 --cloud c.yaml --dry-run",
    ],
)
def test_cloud_in_every_order(words):
    found = read_train(words.split())
    assert (found.recipe, found.cloud, found.dry_run, found.mistake) == ("r.yaml", "c.yaml", True, None)
    assert found.passed == ["--num-processes=7", "--trl.beta=0.1"]
    assert (found.num_processes, found.overrides) == (7, {"trl.beta": 0.1})


def test_what_stands_behind_the_dashes_is_passed_on():
    found = read_train(["train", "r.yaml", "--cloud", "c.yaml", "--", "--dry-run", "--cloud", "x"])
    assert found.passed == ["--", "--dry-run", "--cloud", "x"]


def test_dry_run_belongs_to_cloud():
    assert read_train(["train", "r.yaml", "--dry-run"]).mistake.startswith("--dry-run: unknown option")


def test_keys_of_our_blocks_are_overrides_that_axolotl_does_not_get():
    words = ["r.yaml", "--validation.max-tokens", "64", "--rewards.workers=0", "--max-steps=3", "--validation.only"]
    found = read_train(["train", *words])
    assert found.overrides == {
        "validation.max_tokens": 64,
        "rewards.workers": 0,
        "max_steps": 3,
        "validation.only": True,
    }
    assert found.mistake is None
    assert without_own(words) == ["r.yaml", "--max-steps=3"]
    assert without_own(["r.yaml", "--", "--validation.every=2"]) == ["r.yaml", "--", "--validation.every=2"]
    assert (
        "--validation.evry: unknown option; did you mean"
        in read_train(["train", "r.yaml", "--validation.evry=2"]).mistake
    )


@pytest.mark.parametrize(
    "words",
    [
        "--validation.only r.yaml",
        "--validation.only r.yaml --max-steps=3",
        "--validation.every 5 --validation.only r.yml",
    ],
)
def test_a_recipe_is_no_value_of_a_key_that_is_true_or_false(words):
    found = read_train(["train", *words.split()])
    assert found is not None and found.recipe in ("r.yaml", "r.yml") and found.mistake is None
    assert found.overrides["validation.only"] is True
    assert found.recipe in without_own(words.split())
    assert read_train(["train", "--validation.only", "false", "r.yaml"]).overrides == {"validation.only": False}


@pytest.mark.parametrize(("command", "left"), [("train", []), ("evaluate", ["--validation.every=2"])])
def test_only_train_is_spared_the_overrides_that_it_keeps(monkeypatch, command, left):
    monkeypatch.setattr(sys, "argv", ["axolotl", command])
    assert startup._config_first(["--validation.every=2", "r.yaml"], VALUED) == ["r.yaml", *left]

"""What trackers get beside the metrics; runs that they record are in tests/integration.

The modules of the trackers are stand-ins here.
"""

import sys
from types import SimpleNamespace

import pytest
from transformers.integrations import TensorBoardCallback

from grpo_plugin.console.examples import Example, Shown
from grpo_plugin.console.tracker_callback import TrackerCallback, blocks, log_curve, table_row
from grpo_plugin.recipe import parse

RECIPE = {
    "base_model": "user/model",
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Validation")],
    "prompts": {"train": "data.jsonl", "validation": {"aime": {"sources": "a.jsonl", "answer_key": None}}},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "validation": {"samples": 4},
}


class Wandb:
    """What the callback asks of the module."""

    def __init__(self):
        self.run, self.given, self.logged = object(), {}, []
        self.config = SimpleNamespace(update=lambda values, allow_val_change: self.given.update(values))

    def Table(self, columns, data):
        return [columns, *data]

    def Image(self, path):
        return path

    def log(self, values):
        self.logged.append(values)


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


ARGS, MAIN = SimpleNamespace(report_to=["wandb"]), SimpleNamespace(is_world_process_zero=True, global_step=20)


def test_the_blocks_have_their_defaults_and_sets_what_they_name():
    given = blocks(parse(RECIPE))
    assert given.keys() == {"prompts", "rewards", "validation"}
    assert given["validation"]["samples"] == 4 and given["validation"]["greedy"] is True
    aime = given["prompts"]["validation"]["aime"]
    assert aime["answer_key"] is None and [source["source"] for source in aime["sources"]] == ["a.jsonl"]


def test_trackers_get_no_secret():
    rollout = {"env": {"PASSPHRASE": "abc"}, "args": ["--hf-token", "abc"], "url": "http://me:abc@host:80"}
    given = blocks(parse(RECIPE | {"rollout": rollout, "plugins": [*RECIPE["plugins"], "grpo_plugin.RolloutPlugin"]}))
    assert "env" not in given["rollout"] and given["rollout"]["args"] == ["--hf-token", "(hidden)"]
    assert "abc" not in str(given)


def test_answers_are_logged_after_each_validation_alone(wandb):
    example = Example("12+30=", "42", Shown(0, "41", 0.0), Shown(20, "42", 1.0))
    callback = TrackerCallback(parse(RECIPE), lambda: [example])
    callback.on_train_begin(ARGS, MAIN, None)
    callback.on_log(ARGS, MAIN, None, logs={"loss": 0.1})
    assert wandb.given["validation"]["samples"] == 4 and wandb.logged == []
    callback.on_log(ARGS, MAIN, None, logs={"eval_accuracy_greedy": 1.0, "time/validation": 2.0})
    [logged] = wandb.logged
    assert logged["eval/answers"][1] == ["12+30=", "42", "41", 0.0, "42", 1.0] and logged["train/global_step"] == 20
    assert table_row(Example("q", None, None, Shown(0, "a", None))) == ["q", None, None, None, "a", None]


def test_nothing_is_logged_without_a_run_or_off_the_main_process(wandb, tmp_path):
    (tmp_path / "curve.png").touch()
    elsewhere = SimpleNamespace(is_world_process_zero=False, global_step=20)
    log_curve(ARGS, elsewhere, tmp_path / "curve.png")
    log_curve(SimpleNamespace(report_to=[]), MAIN, tmp_path / "curve.png")
    log_curve(ARGS, MAIN, tmp_path / "no.png")
    assert wandb.logged == []
    log_curve(ARGS, MAIN, tmp_path / "curve.png")
    wandb.run = None
    log_curve(ARGS, MAIN, tmp_path / "curve.png")
    assert [one["curve"] for one in wandb.logged] == [str(tmp_path / "curve.png")]


def test_a_tracker_that_takes_no_table_does_not_end_the_run(wandb, caplog):
    def fail(values):
        raise OSError("no space left")

    wandb.log = fail
    example = Example("q", None, None, Shown(0, "a", None))
    TrackerCallback(parse(RECIPE), lambda: [example]).on_log(ARGS, MAIN, None, logs={"time/validation": 2.0})
    assert "wandb did not take the table of answers: OSError('no space left')" in caplog.text


def test_tensorboard_gets_the_answers_as_text():
    written = []
    tensorboard = TensorBoardCallback(
        SimpleNamespace(add_text=lambda name, text, step: written.append((name, text, step)))
    )
    example = Example("12 | 30=\n", "42", None, Shown(0, "42", 1.0))
    callback = TrackerCallback(parse(RECIPE), lambda: [example], [tensorboard])
    callback.on_log(SimpleNamespace(report_to=[]), MAIN, None, logs={"time/validation": 2.0})
    [(name, text, step)] = written
    assert (name, step) == ("eval/answers", 20) and text.splitlines()[2] == "| 12 \\| 30= | 42 |  |  | 42 | 1.0 |"


def test_a_tracker_that_fails_anywhere_does_not_end_the_run(wandb, caplog):
    """One that cannot say whether it runs, one that takes no recipe, and a log of TensorBoard on a full disk."""

    def fail(*args, **kwargs):
        raise OSError("no space left")

    tensorboard = TensorBoardCallback(SimpleNamespace(add_text=fail))
    callback = TrackerCallback(parse(RECIPE), lambda: [Example("q", None, None, Shown(0, "a", None))], [tensorboard])
    wandb.config.update = fail
    callback.on_train_begin(ARGS, MAIN, None)
    assert "wandb did not take the recipe: OSError('no space left')" in caplog.text
    callback.on_log(ARGS, MAIN, None, logs={"time/validation": 2.0})
    assert "TensorBoard did not take the table of answers: OSError" in caplog.text and len(wandb.logged) == 1

    class Broken:
        run = property(fail)

    sys.modules["wandb"] = Broken()
    callback.on_log(ARGS, MAIN, None, logs={"time/validation": 2.0})
    assert "wandb did not take the question whether it runs: OSError" in caplog.text

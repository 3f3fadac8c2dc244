import io
from types import SimpleNamespace

import pytest

from grpo_plugin.config.validation import BestCheckpoint, ValidationConfig
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.screen_callback import ScreenCallback
from grpo_plugin.validation.best import BestSoFar
from grpo_plugin.validation.validation_callback import ValidationCallback

LOGS = {"reward": 0.5, "rewards/accuracy/mean": 0.25}


def test_the_screen_shows_training_steps_alone():
    stream = io.StringIO()
    callback = ScreenCallback(Screen(stream))
    state = SimpleNamespace(is_world_process_zero=True, max_steps=2, global_step=0)
    callback.on_train_begin(None, state, None)
    state.global_step = 1
    callback.on_step_end(None, state, None)
    callback.on_log(None, state, None, logs=LOGS)
    callback.on_log(None, state, None, logs={"eval_reward": 1.0})
    callback.on_log(None, state, None, logs={"train_runtime": 1.0})
    callback.on_train_end(None, state, None)
    assert [text.split()[0] for text in stream.getvalue().splitlines()] == ["step", "1", "trained"]


def test_other_processes_stay_silent():
    stream = io.StringIO()
    callback = ScreenCallback(Screen(stream))
    state = SimpleNamespace(is_world_process_zero=False, max_steps=2, global_step=1)
    callback.on_train_begin(None, state, None)
    callback.on_log(None, state, None, logs=LOGS)
    callback.on_train_end(None, state, None)
    assert stream.getvalue() == ""


def validated(config, steps, first=0, every=None, best=None, values=None):
    """The steps at which a run from `first` to `steps` validates, those it saves at, and the last step."""
    seen, saved = [], []

    def validate(step):
        seen.append(step)
        if best is not None:
            best.add(step, {"eval_accuracy_greedy": values[step]})

    callback = ValidationCallback(ValidationConfig(**config), validate, every, best, lambda: seen.append("end"))
    state, control = (
        SimpleNamespace(is_world_process_zero=True, global_step=first, max_steps=steps),
        SimpleNamespace(should_training_stop=False),
    )
    callback.on_train_begin(None, state, control)
    while state.global_step < steps and not control.should_training_stop and "end" not in seen:
        state.global_step += 1
        control.should_evaluate = control.should_save = False
        callback.on_step_end(None, state, control)
        if control.should_evaluate:
            validate(state.global_step)
            callback.on_evaluate(None, state, control)
        if control.should_save:
            saved.append(state.global_step)
    callback.on_train_end(None, state, control)
    return seen, saved, state.global_step


@pytest.mark.parametrize(
    ("config", "run", "expected"),
    [
        ({}, {"steps": 7}, [0, 7]),
        ({}, {"steps": 7, "every": 3}, [0, 3, 6, 7]),
        ({}, {"steps": 6, "every": 3}, [0, 3, 6]),
        ({}, {"steps": 6, "every": 3, "first": 3}, [6]),
        ({"before_train": False, "after_train": False}, {"steps": 7, "every": 5}, [5]),
        ({"before_train": False, "after_train": False}, {"steps": 7}, []),
        ({"only": True, "before_train": False}, {"steps": 7, "every": 1}, [0, "end"]),
    ],
)
def test_when_a_run_validates(config, run, expected):
    assert validated(config, **run)[0] == expected


def test_a_run_that_another_callback_ends_is_validated_while_trackers_listen():
    seen = []
    callback = ValidationCallback(ValidationConfig(), seen.append)
    state, control = (
        SimpleNamespace(is_world_process_zero=True, global_step=4, max_steps=9),
        SimpleNamespace(should_training_stop=True),
    )
    callback.on_step_end(None, state, control)
    assert control.should_evaluate and seen == []
    callback.on_evaluate(None, state, control)
    callback.on_train_end(None, state, control)
    assert seen == []


def test_the_best_is_saved_and_patience_ends_the_run():
    config = {"best": {"metric": "accuracy_greedy"}, "patience": 2}
    values = {0: 0.5, 2: 0.4, 4: 0.6, 6: 0.6, 8: 0.5, 10: 0.9}
    run = {
        "steps": 10,
        "every": 2,
        "best": BestSoFar(BestCheckpoint(metric="accuracy_greedy"), ["eval_accuracy_greedy"]),
        "values": values,
    }
    seen, saved, last = validated(config, **run)
    assert (seen, saved, last) == ([0, 2, 4, 6, 8], [4], 8)

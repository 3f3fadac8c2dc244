import io
from types import SimpleNamespace

import pytest

from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.screen_callback import ScreenCallback
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


def validated(config, steps, first=0):
    """The steps at which a run from `first` to `steps` validates."""
    seen = []
    callback = ValidationCallback(ValidationConfig(**config), seen.append)
    state = SimpleNamespace(global_step=first)
    callback.on_train_begin(None, state, None)
    for step in range(first + 1, steps + 1):
        state.global_step = step
        control = SimpleNamespace(should_evaluate=False)
        callback.on_step_end(None, state, control)
        if control.should_evaluate:
            seen.append(step)
    callback.on_train_end(None, state, None)
    return seen


@pytest.mark.parametrize(
    ("config", "run", "expected"),
    [
        ({}, {"steps": 7}, [0, 7]),
        ({"every": 3}, {"steps": 7}, [0, 3, 6, 7]),
        ({"every": 3}, {"steps": 6}, [0, 3, 6]),
        ({"every": 3}, {"steps": 6, "first": 3}, [6]),
        ({"before_train": False, "after_train": False, "every": 5}, {"steps": 7}, [5]),
        ({"before_train": False, "after_train": False}, {"steps": 7}, []),
    ],
)
def test_when_a_run_validates(config, run, expected):
    assert validated(config, **run) == expected

"""A run that is asked to stop saves after the step in hand, on every rank, and then ends."""

import signal
from types import SimpleNamespace

import pytest
import torch

from grpo_plugin.session import Session
from grpo_plugin.trainer.stop_callback import StopCallback
from tests.unit.trainer.rollouts import one_process


def accelerator(others: list[int] | None = None):
    """One rank; or two machines, of which the other one's launcher asks with the number in `others`."""
    made = one_process(0, 1 + len(others or []))
    made.wait_for_everyone = lambda: None
    made.gather = lambda own: torch.cat([own, torch.tensor(others, dtype=own.dtype)])
    return made


def control() -> SimpleNamespace:
    return SimpleNamespace(should_save=False, should_training_stop=False, should_evaluate=True)


@pytest.fixture
def session(tmp_path) -> Session:
    return Session(tmp_path)


def test_nobody_asks(session):
    stopped: list[str] = []
    callback = StopCallback(session, accelerator(), stopped.append)
    assert not session.can_save
    callback.on_train_begin(None, None, control())
    assert session.can_save
    after = control()
    callback.on_step_end(None, None, after)
    callback.on_save(None, None, after)
    assert vars(after) == vars(control()) and not stopped


@pytest.mark.parametrize("here", [True, False], ids=["here", "on another machine"])
def test_the_checkpoint_comes_first(session, here):
    stopped: list[str] = []
    callback = StopCallback(session, accelerator([0] if here else [15]), stopped.append)
    if here:
        session.ask_to_stop(signal.SIGTERM)
    after = control()
    callback.on_step_end(None, None, after)
    assert vars(after) == {"should_save": True, "should_training_stop": True, "should_evaluate": False}
    assert not stopped
    with pytest.raises(SystemExit) as end:
        callback.on_save(None, None, after)
    assert end.value.code == 143 and stopped == ["SIGTERM"]

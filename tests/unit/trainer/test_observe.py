"""The figures of a batch are logged with every step that it trains."""

from collections import defaultdict
from types import SimpleNamespace

import pytest

from grpo_plugin.trainer.observe import Observer


@pytest.fixture
def observer() -> Observer:
    metrics = {"train": defaultdict(list)}
    trainer = SimpleNamespace(
        _metrics=metrics,
        _pending_metrics={},
        _pending_extra_logs={},
        rollouts=SimpleNamespace(metrics={}),
        accelerator=SimpleNamespace(is_main_process=False),
    )
    return Observer(trainer)  # type: ignore[arg-type]


def record(observer: Observer, **figures: float) -> None:
    for name, value in figures.items():
        observer.trainer._metrics["train"][name].append(value)
    observer.record([])


def test_a_batch_of_several_steps_is_logged_with_each(observer):
    record(observer, length=4.0)
    assert observer.figures() == {"length": 4.0}
    assert observer.figures() == {"length": 4.0}


def test_several_batches_between_two_logs_are_averaged(observer):
    record(observer, length=4.0)
    assert observer.figures() == {"length": 4.0}
    record(observer, length=6.0, gap=0.5)
    record(observer, length=10.0)
    assert observer.figures() == {"length": 8.0, "gap": 0.5}
    assert observer.figures() == {"length": 10.0}


def test_what_reward_functions_log_is_there(observer):
    observer.trainer._pending_metrics["rewards/mine/part"] = [0.25, 0.75]
    record(observer)
    assert observer.figures() == {"rewards/mine/part": 0.5}
    assert observer.trainer._pending_metrics == {}

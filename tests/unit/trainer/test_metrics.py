"""Metrics are weighted means whatever the split; those of a batch are logged with every step that trains on it."""

import math

import pytest
import torch

from grpo_plugin.trainer.metrics import Metrics


def test_means_are_weighted_and_the_largest_ratio_is_a_maximum():
    metrics = Metrics()
    for entropy, ratio, tokens in [(1.0, 2.0, 10), (4.0, 3.0, 30), (2.0, 1.0, 0)]:
        metrics.add("entropy", torch.tensor(entropy), torch.tensor(tokens))
        metrics.add("ratio/max", torch.tensor(ratio), torch.tensor(tokens))
    assert metrics.step_mean("entropy") == pytest.approx((10 + 120) / 40)
    assert metrics.drain() == {"entropy": pytest.approx(3.25), "ratio/max": 3.0}
    assert metrics.drain() == {}
    assert metrics.step_mean("entropy") is None


def batch(metrics: Metrics, **values: float) -> None:
    metrics.begin_batch()
    for name, value in values.items():
        metrics.add(name, value, of_batch=True)


def test_a_batch_of_several_steps_is_logged_with_each():
    metrics = Metrics()
    batch(metrics, length=4.0)
    metrics.add("loss/part", 1.0)
    assert metrics.drain() == {"length": 4.0, "loss/part": 1.0}
    assert metrics.drain() == {"length": 4.0}


def test_several_batches_between_two_logs_are_averaged():
    metrics = Metrics()
    batch(metrics, length=4.0)
    assert metrics.drain() == {"length": 4.0}
    batch(metrics, length=6.0, gap=0.5)
    batch(metrics, length=10.0)
    assert metrics.drain() == {"length": 8.0, "gap": 0.5}
    assert metrics.drain() == {"length": 10.0}


def test_what_is_no_number_is_left_out():
    metrics = Metrics()
    batch(metrics, reward=math.nan)
    batch(metrics, reward=2.0)
    batch(metrics, reward=4.0)
    assert metrics.drain() == {"reward": 3.0}


def test_a_restored_run_logs_the_batch_it_goes_on_with():
    metrics, later = Metrics(), Metrics()
    batch(metrics, length=4.0)
    metrics.drain()
    later.restore(metrics.state())
    assert later.drain() == {"length": 4.0}

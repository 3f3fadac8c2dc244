"""The metrics of a batch: of all that was generated for it, or of its own rollouts where it was left over."""

from types import SimpleNamespace

import pytest

from grpo_plugin.trainer.dynamic_sampler import RolloutBatch
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.rollout import Rollout
from grpo_plugin.trainer.trainer import PolicyTrainer
from tests.unit.trainer.rollouts import one_process


def rollout(reward):
    return Rollout(0, [1], [2, 3], None, "stop", 1, scores=(reward,), reward=reward)


def recorded(batch):
    written = []
    trainer = SimpleNamespace(
        metrics=Metrics(),
        kl_coef=SimpleNamespace(value=0.0),
        rollout_sampler=SimpleNamespace(rewards=SimpleNamespace(names=["right"])),
        algorithm=SimpleNamespace(config=SimpleNamespace(tolerance=0.0)),
        num_generations=2,
        state=SimpleNamespace(num_input_tokens_seen=0, global_step=4),
        accelerator=one_process(),
        temperature=1.0,
        _token_text=lambda: None,
        run_=SimpleNamespace(generation_log=SimpleNamespace(write=lambda step, rows: written.append(step))),
    )
    PolicyTrainer._record(trainer, batch, [])
    return trainer.metrics.drain(), written


def test_a_batch_that_was_left_over_has_the_metrics_of_its_own_rollouts():
    metrics, written = recorded(RolloutBatch([rollout(1.0), rollout(0.0)], [], {"dynamic_sampling/rounds": 0.0}))
    assert metrics["reward"] == metrics["rewards/right/mean"] == 0.5
    assert metrics["groups/mixed"] == 1.0 and metrics["completions/mean_length"] == 2.0
    assert metrics["num_tokens"] == 0.0 and written == [], "it was counted and logged when it was generated"


def test_another_batch_has_those_of_all_that_was_generated():
    generated = [rollout(1.0), rollout(0.0), rollout(1.0), rollout(1.0)]
    metrics, written = recorded(RolloutBatch(generated[:2], generated))
    assert metrics["reward"] == 0.75 and metrics["groups/mixed"] == 0.5
    assert metrics["num_tokens"] == 12.0 and written == [5]


@pytest.mark.parametrize("batch", [RolloutBatch([], [])])
def test_an_empty_batch_has_none(batch):
    assert "reward" not in recorded(batch)[0]

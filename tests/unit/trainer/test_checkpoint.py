"""What a checkpoint keeps of a batch in hand is what a resumed run goes on with."""

from collections import deque

import torch

from grpo_plugin.trainer import checkpoint
from grpo_plugin.trainer.training_sample import MicroBatch, TrainingSample
from tests.unit.trainer.rollouts import one_process, rollout


def micro_batch() -> MicroBatch:
    sample = TrainingSample(rollout(1.0), torch.tensor([0.5, 0.5, 0.5]), old_logps=torch.tensor([-1.0, -2.0, -3.0]))
    return MicroBatch([sample], sample.rollout, denominator=8.0, step_tokens=5)


def test_state_and_remaining_micro_batches_come_back(tmp_path):
    checkpoint.save(tmp_path, {"kl_coef": 0.25}, deque([[micro_batch()], []]), one_process())
    state, remaining = checkpoint.load(tmp_path, one_process())
    assert state == {"kl_coef": 0.25}
    assert [len(step) for step in remaining] == [1, 0]
    assert remaining[0][0].samples[0].old_logps.tolist() == [-1.0, -2.0, -3.0]
    assert remaining[0][0].rollouts[0].reward == 1.0


def test_the_ranks_have_files_of_their_own_and_share_the_state(tmp_path):
    for rank in range(2):
        checkpoint.save(tmp_path, {"kl_coef": float(rank)}, deque([[micro_batch()]] * (rank + 1)), one_process(rank, 2))
    loaded = [checkpoint.load(tmp_path, one_process(rank, 2)) for rank in range(2)]
    assert [(state["kl_coef"], len(remaining)) for state, remaining in loaded] == [(0.0, 1), (0.0, 2)]


def test_with_another_number_of_ranks_the_rest_of_the_batch_is_dropped(tmp_path):
    checkpoint.save(tmp_path, {"kl_coef": 0.25}, deque([[micro_batch()]]), one_process())
    state, remaining = checkpoint.load(tmp_path, one_process(0, 2))
    assert state == {"kl_coef": 0.25} and not remaining


def test_a_checkpoint_of_another_trainer_has_nothing_of_ours(tmp_path):
    assert checkpoint.load(tmp_path, one_process()) is None

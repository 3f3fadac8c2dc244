"""What a checkpoint keeps of a batch in hand is what a resumed run goes on with."""

from collections import deque

import torch

from grpo_plugin.recipe.checkpoints import UNFINISHED, checkpoints
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


def written(output_dir, step, text):
    folder = output_dir / UNFINISHED / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)


def test_a_checkpoint_gets_its_name_when_it_is_whole(tmp_path):
    written(tmp_path, 5, "new")
    assert checkpoints(tmp_path) == []
    checkpoint.publish("checkpoint-5", tmp_path, one_process())
    assert (tmp_path / "checkpoint-5" / "model.safetensors").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_one_of_an_earlier_run_is_replaced(tmp_path):
    for text in ("old", "new"):
        written(tmp_path, 5, text)
        checkpoint.publish("checkpoint-5", tmp_path, one_process())
    assert (tmp_path / "checkpoint-5" / "model.safetensors").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_another_machine_moves_what_lies_on_its_own_disk(tmp_path):
    written(tmp_path, 5, "new")
    checkpoint.publish("checkpoint-5", tmp_path, one_process(rank=1, ranks=2))
    assert checkpoints(tmp_path) == [], "a rank that is not the first of its machine moves nothing"
    checkpoint.publish("checkpoint-5", tmp_path, one_process(rank=8, ranks=16, local_rank=0))
    assert checkpoints(tmp_path) == [tmp_path / "checkpoint-5"]


def test_what_a_killed_save_has_left_is_removed(tmp_path):
    written(tmp_path, 5, "half")
    checkpoint.clear_unfinished(tmp_path)
    checkpoint.clear_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_trainer_has_nothing_of_ours(tmp_path):
    assert checkpoint.load(tmp_path, one_process()) is None

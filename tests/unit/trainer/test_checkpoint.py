"""Checkpoints that are whole or not there, and what they keep beside transformers' files."""

import datetime
import os

import numpy as np
import pytest
import torch
from PIL import Image

from grpo_plugin.errors import RecipeError, TrainingError
from grpo_plugin.recipe.checkpoints import UNFINISHED, checkpoints
from grpo_plugin.trainer import checkpoint
from grpo_plugin.trainer.training_sample import TrainingSample
from tests.unit.trainer.rollouts import one_process, rollout


def test_the_state_comes_back(tmp_path):
    checkpoint.save(tmp_path / "checkpoint-3", {"kl_coef": 0.25, "rollouts": {"surplus": [[rollout(1.0)]]}})
    state = checkpoint.load(tmp_path / "checkpoint-3")
    assert state["kl_coef"] == 0.25
    assert state["rollouts"]["surplus"][0][0].reward == 1.0


def test_samples_and_streamed_rows_come_back_as_they_were(tmp_path):
    sample = TrainingSample(rollout(1.0), torch.tensor([0.5, -0.5]), policy_mask=torch.tensor([True, False]))
    row = {"prompt": [{"role": "user", "content": "Why?"}], "seen": datetime.datetime(2026, 1, 2, 3), "n": np.int64(7)}
    image = Image.effect_noise((5, 4), 90).convert("RGB")
    state = {"samples": [sample], "sums": {"loss": (1.5, 2.0)}, "buffer": {3: row | {"images": [image]}}}
    checkpoint.save(tmp_path, state)
    back = checkpoint.load(tmp_path)
    assert back["samples"][0].rollout == sample.rollout
    assert back["samples"][0].advantages.tolist() == [0.5, -0.5]
    assert back["samples"][0].policy_mask.tolist() == [True, False]
    assert back["sums"] == {"loss": (1.5, 2.0)}
    read = back["buffer"][3]
    assert read["images"][0].tobytes() == image.tobytes()
    assert {key: value for key, value in read.items() if key != "images"} == row


class Planted:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"kl_coef": Planted(f"touch {tmp_path}/ran")}, tmp_path / checkpoint.FILE)
    with pytest.raises(RecipeError, match=r"resume_from_checkpoint: .*rollouts.pt is not what a checkpoint"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_data_is_not_saved(tmp_path):
    with pytest.raises(TrainingError, match="cannot keep a Planted"):
        checkpoint.save(tmp_path, {"rollouts": {"buffer": {0: {"column": Planted("true")}}}})


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
    assert checkpoint.load(tmp_path) is None

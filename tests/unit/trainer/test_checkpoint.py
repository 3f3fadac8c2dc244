"""Checkpoints that are whole or not there, and what they keep beside transformers' files."""

import datetime
import os

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from grpo_plugin.errors import RecipeError, TrainingError
from grpo_plugin.recipe.batch_arithmetic import Batch
from grpo_plugin.recipe.checkpoints import UNFINISHED, checkpoints
from grpo_plugin.trainer import checkpoint
from grpo_plugin.trainer.current_batch import CurrentBatch
from grpo_plugin.trainer.dynamic_sampler import DynamicSampler
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout import EpisodeRecord
from grpo_plugin.trainer.training_sample import TrainingSample
from tests.unit.trainer.rollouts import make_step, one_process, rollout, rollouts


def test_the_state_comes_back(tmp_path):
    checkpoint.save(tmp_path / "checkpoint-3", {"kl_coef": 0.25, "rollouts": {"surplus": [[rollout(1.0)]]}})
    state = checkpoint.load(tmp_path / "checkpoint-3")
    assert state["kl_coef"] == 0.25
    assert state["rollouts"]["surplus"][0][0].reward == 1.0


def test_samples_and_streamed_rows_come_back_as_they_were(tmp_path):
    call = {"type": "function", "function": {"name": "look", "arguments": {"where": "here"}}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "A door."}]
    episode = EpisodeRecord(turns=1, tool_calls=2, failures={"timeout": 1}, messages=messages)
    sample = TrainingSample(
        rollout(1.0, episode=episode), torch.tensor([0.5, -0.5]), policy_mask=torch.tensor([True, False])
    )
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


def test_the_state_of_every_part_of_the_trainer_is_data(tmp_path):
    """As `PolicyTrainer._stateful` names them, amid a batch that was trained on once."""
    step = make_step({"name": "grpo", "kl_target": 0.1, "kl_horizon": 100})
    batch = CurrentBatch(step.builder, Batch(processes=1, micro=4, generations=4, rollout=8, iterations=2))
    batch.begin(step.builder.build(rollouts()))
    batch.next_accumulation_step()
    step.metrics.begin_batch()
    step.metrics.add("reward", 0.5, of_batch=True)
    step.metrics.add("kl", torch.tensor(0.25), torch.tensor(3.0), of_batch=True)
    prompts = PromptSampler(Dataset.from_dict({"prompt": ["a", "b"]}), seed=0)
    sampler = DynamicSampler(prompts, lambda rows: [], batch_size=2, group_size=4)
    sampler.restore({"prompts": prompts.state() | {"taken": 1}, "surplus": [rollouts()[:4]]})
    parts = {"rollouts": sampler, "batch": batch, "kl_coef": step.kl_coef, "metrics": step.metrics}
    checkpoint.save(tmp_path, {name: part.state() for name, part in parts.items()})
    state = checkpoint.load(tmp_path)
    for name, part in parts.items():
        part.restore(state[name])
    assert step.metrics.state().totals() == ({"reward": (0.5, 1.0), "kl": (0.75, 3.0)}, {})
    assert len(batch.state()["samples"]) == 8 and batch.state()["steps_left"] == 3
    assert sampler.state()["surplus"][0][0].reward == rollouts()[0].reward

"""The real callback on the real metrics of steps, with transformers' state."""

import io
import json

import pytest
import torch
from transformers import TrainerState

from grpo_plugin.console.screen import Screen
from grpo_plugin.console.screen_callback import ScreenCallback
from grpo_plugin.console.step_log import StepLog
from grpo_plugin.recipe import parse
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.rollout_metrics import rollout_metrics, share_without_advantage
from grpo_plugin.trainer.training_sample import TrainingSample
from tests.unit.trainer.rollouts import rollout

VALUES = {
    "base_model": "user/model",
    "plugins": [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm")],
    "prompts": {"train": "data.jsonl"},
    "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
    "algorithm": {"alarms": {"window": 4}},
    "trl": {"num_generations": 2},
}


class Run:
    """Steps of a run whose groups have given rewards; what it shows is in `lines()`."""

    def __init__(self, folder, **algorithm):
        self.stream, self.metrics, self.folder = io.StringIO(), Metrics(), folder
        screen = Screen(self.stream)
        recipe = parse(VALUES | {"output_dir": str(folder)} | ({"algorithm": algorithm} if algorithm else {}))
        self.callbacks = [ScreenCallback(screen), StepLog(recipe, screen, 1, now=lambda: 100.5)]
        self.state = TrainerState(is_world_process_zero=True, max_steps=50)

    def begin(self, step=0):
        self.state.global_step = step
        for callback in self.callbacks:
            callback.on_train_begin(None, self.state, None)
        return self

    def step(self, rewards, grad_norm):
        """One optimizer step on two groups of two."""
        rollouts = [rollout(reward, finish_reason="length" if reward < 0 else "stop") for reward in rewards]
        means = [sum(rewards[:2]) / 2] * 2 + [sum(rewards[2:]) / 2] * 2
        advantages = [torch.full((3,), reward - mean) for reward, mean in zip(rewards, means, strict=True)]
        samples = [TrainingSample(*pair) for pair in zip(rollouts, advantages, strict=True)]
        self.metrics.begin_batch()
        self.metrics.add("advantages/zero", share_without_advantage(samples), of_batch=True)
        for name, value in rollout_metrics(rollouts, ["accuracy"], 2, 1e-6):
            self.metrics.add(name, value, of_batch=True)
        self.state.global_step += 1
        logs = {**self.metrics.drain(), "loss": 0.0, "grad_norm": grad_norm}
        for callback in self.callbacks:
            callback.on_log(None, self.state, None, logs=logs)

    def lines(self):
        return self.stream.getvalue().splitlines()

    def written(self, name):
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_steps_are_kept_and_a_step_without_a_signal_has_its_word(tmp_path):
    run = Run(tmp_path).begin()
    run.step([1.0, 0.0, 1.0, 1.0], grad_norm=0.4)
    run.step([1.0, 1.0, 0.0, 0.0], grad_norm=0.0)
    first, second = run.written("metrics.jsonl")
    assert (first["step"], first["time"], first["reward"], first["grad_norm"]) == (1, 100.5, 0.75, 0.4)
    assert (first["advantages/zero"], second["advantages/zero"]) == (0.5, 1.0)
    assert "step 2: every group scored alike: nothing was learnt from rewards" in run.lines()
    assert sum("nothing was learnt" in line for line in run.lines()) == 1
    assert json.loads((tmp_path / "run.json").read_text())["recipe"]["base_model"] == "user/model"


def test_the_share_that_was_cut_off_is_a_column(tmp_path):
    run = Run(tmp_path).begin()
    run.step([-1.0, 0.0, -1.0, -1.0], grad_norm=0.4)
    header, row = run.lines()
    place = header.index("cut")
    assert row[place - 2 : place + 3].strip() == "75%"


def test_alarms_are_shown_once_and_kept(tmp_path):
    run = Run(tmp_path).begin()
    for _ in range(4):
        run.step([0.0, 0.0, 0.0, 0.0], grad_norm=0.0)
    kinds = [alarm["kind"] for alarm in run.written("alarms.jsonl")]
    assert kinds == ["groups_mixed", "zero_gradient"]
    shown = [line for line in run.lines() if line.startswith("alarm")]
    assert shown[1].startswith(
        "alarm at step 3: the gradient was 0 in the last 3 logged steps: nothing is learnt. Try: "
    )
    assert len(shown) == 2


def test_a_resumed_run_goes_on_with_what_it_knew(tmp_path):
    run = Run(tmp_path).begin()
    for _ in range(4):
        run.step([0.0, 0.0, 0.0, 0.0], grad_norm=0.0)
    resumed = Run(tmp_path).begin(step=3)
    assert [row["step"] for row in resumed.written("metrics.jsonl")] == [1, 2, 3]
    resumed.step([0.0, 0.0, 0.0, 0.0], grad_norm=0.0)
    assert not [line for line in resumed.lines() if line.startswith("alarm")], (
        "it came at step 3, less than a window ago"
    )
    again = Run(tmp_path).begin(step=2)
    assert again.written("alarms.jsonl")[-1]["step"] <= 2
    again.step([0.0, 0.0, 0.0, 0.0], grad_norm=0.0)
    assert again.written("alarms.jsonl")[-1] | {"remedy": ""} == {
        "step": 3,
        "kind": "zero_gradient",
        "figure": "the gradient was 0 in the last 3 logged steps: nothing is learnt",
        "remedy": "",
    }


@pytest.mark.parametrize("alarms", [False, {"window": 4, "zero_gradient": None, "groups_mixed": None}])
def test_alarms_can_be_turned_off(tmp_path, alarms):
    run = Run(tmp_path, alarms=alarms).begin()
    for _ in range(6):
        run.step([0.0, 0.0, 0.0, 0.0], grad_norm=0.0)
    assert run.written("alarms.jsonl") == [] and len(run.written("metrics.jsonl")) == 6


def test_other_ranks_and_other_logs_write_nothing(tmp_path):
    run = Run(tmp_path)
    run.state.is_world_process_zero = False
    run.begin()
    run.step([1.0, 0.0, 1.0, 0.0], grad_norm=1.0)
    run.state.is_world_process_zero = True
    for logs in ({"eval_accuracy_sampled": 0.5}, {"train_loss": 0.1, "train_runtime": 3.0}, None):
        run.callbacks[1].on_log(None, run.state, None, logs=logs)
    assert not list(tmp_path.iterdir())

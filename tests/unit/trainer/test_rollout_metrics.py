"""The metrics of a rollout batch, worked by hand."""

import math

import pytest

from grpo_plugin.trainer.rollout_metrics import generations, rollout_metrics, share_without_advantage
from grpo_plugin.trainer.training_sample import TrainingSample
from tests.unit.trainer.rollouts import rollout

GIVEN = [
    rollout(1.0, tokens=2),
    rollout(0.0, tokens=4),
    rollout(1.0, tokens=6, finish_reason="length"),
    rollout(1.0, tokens=8, sampled_mask=[True] * 5 + [False] * 3),
]


def test_rewards_groups_and_lengths():
    found = dict(rollout_metrics(GIVEN, ["accuracy"], group_size=2, tolerance=0.0))
    assert found["reward"] == found["rewards/accuracy/mean"] == 0.75
    assert found["reward_std"] == found["rewards/accuracy/std"] == pytest.approx(0.5)
    assert found["completions/clipped_ratio"] == 0.25
    assert (found["completions/min_length"], found["completions/max_length"]) == (2.0, 6.0)
    assert found["completions/mean_length"] == (2 + 4 + 6 + 5) / 4, "a tool's three tokens do not count"
    assert found["completions/mean_terminated_length"] == (2 + 4 + 5) / 3
    assert {name for name in found if name.startswith("groups/")}


def test_a_batch_that_was_cut_off_whole_has_no_terminated_length():
    found = dict(rollout_metrics(GIVEN[2:3], ["accuracy"], group_size=1, tolerance=0.0))
    assert found["completions/clipped_ratio"] == 1.0
    assert found["completions/max_terminated_length"] == 0.0
    assert math.isnan(found["reward_std"])


def test_the_share_of_completions_from_which_nothing_is_learnt():
    import torch

    learnt, zero = torch.tensor([0.0, 0.5]), torch.zeros(2)
    samples = [
        TrainingSample(GIVEN[0], learnt),
        TrainingSample(GIVEN[0], zero),
        TrainingSample(GIVEN[0], learnt, masked=True),
    ]
    assert share_without_advantage(samples) == pytest.approx(2 / 3)
    assert share_without_advantage(samples[1:2]) == share_without_advantage([]) == 1.0


def test_tokens_are_kept_where_the_log_asks_for_them():
    import torch

    one = rollout(1.0, tokens=2, sampler_logps=[-0.5, -1.0], sampled_mask=[True, False])
    sample = TrainingSample(one, torch.tensor([0.25, 0.25]), old_logps=torch.tensor([-0.25, -2.0]))
    rows = generations([one, GIVEN[0]], [sample], ["accuracy"], temperature=1.0, token_text=lambda token: f"<{token}>")
    assert rows.tokens == [1, 2]
    assert rows.per_token == {
        "prompt_ids": [[1, 2], [1, 2]],
        "token_ids": [[10, 11], [10, 11]],
        "token_texts": [["<10>", "<11>"]] * 2,
        "token_sampled": [[True, False], None],
        "token_logps": [[-0.5, -1.0], None],
        "token_old_logps": [[-0.25, -2.0], None],
        "token_advantages": [[0.25, 0.25], None],
    }


def test_the_log_has_every_rollout_and_the_advantages_of_those_that_were_trained_on():
    import torch

    samples = [TrainingSample(GIVEN[1], torch.tensor([-0.5] * 4))]
    rows = generations(GIVEN, samples, ["accuracy"], temperature=0.8)
    assert rows.advantages == [None, -0.5, None, None]
    assert rows.functions == {"accuracy": [1.0, 0.0, 1.0, 1.0]}
    assert rows.tokens == [2, 4, 6, 5] and rows.per_token == {}
    assert rows.finish_reasons == ["stop", "stop", "length", "stop"]

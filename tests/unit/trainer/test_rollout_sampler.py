"""Rows become scored rollouts: every completion with its scores, what graders see of it, and what they log."""

import math

import pytest
from datasets import Dataset

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.scoring import load
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout_sampler import RolloutSampler
from tests.unit.trainer.characters import END, Backend, ids_of, make_generator
from tests.unit.trainer.rollouts import one_process

REWARDS = """
def right(completions, answer, **columns):
    return [None if text == "pass" else float(text == gold) for text, gold in zip(completions, answer)]


def shown(completions, log_extra, log_metric, trainer_state, **columns):
    log_extra("seen", list(completions))
    log_metric("letters", sum(map(len, completions)) / len(completions))
    return [float(trainer_state.global_step)] * len(completions)
"""

ROWS = Dataset.from_dict({"prompt": ["2+2=", "3+3=", "think:<think>\n"], "answer": ["4", "6", "<think>\n1"]})


class State:
    global_step = 7


def sampler_of(folder, answer, rank=0, ranks=1, **options):
    (folder / "of_test.py").write_text(REWARDS)
    functions = [{"function": "of_test.py:right"}, {"function": "of_test.py:shown", "weight": 0.5}]
    rewards = load(RewardsConfig.parse("rewards", {"functions": functions, "workers": 0}), folder)
    metrics, backend = Metrics(), Backend(answer)
    sampler = RolloutSampler(
        PromptSampler(ROWS, seed=0, shuffle=False),
        make_generator(backend, **options),
        rewards,
        one_process(rank, ranks),
        metrics,
        Stopwatch(),
        group_size=2,
        trainer_state=State,
    )
    return sampler, metrics, backend


def test_rollouts_carry_all_that_is_known_of_them(tmp_path):
    sampler, metrics, _ = sampler_of(tmp_path, lambda prompt, place: ["4", "pass"][place])
    first, second, third, fourth = sampler.sample([0, 1])
    assert [one.row for one in (first, second, third, fourth)] == [0, 0, 1, 1]
    assert first.prompt_ids == ids_of("2+2=") and first.completion_ids == [ord("4"), END]
    assert (first.prompt, first.completion, first.answer) == ("2+2=", "4", "4")
    assert first.sampler_logps == [-0.5, -0.5] and first.policy_version == 1 and first.finish_reason == "stop"
    assert first.scores == (1.0, 7.0) and first.reward == 1.0 + 0.5 * 7.0
    assert third.scores == (0.0, 7.0) and third.reward == 3.5
    assert math.isnan(second.scores[0]) and second.reward == 3.5, "an abstention leaves the other score"
    assert first.metrics == {"right": 1.0, "shown": 7.0}
    assert [one.extra["seen"] for one in (first, second)] == ["4", "pass"]
    assert metrics.drain()["letters"] == 2.5


def test_each_rank_completes_its_own_prompts(tmp_path):
    rows = [sampler_of(tmp_path, lambda prompt, place: "4", rank, 2)[0].sample([0, 1, 2]) for rank in range(2)]
    assert [[one.row for one in of_rank] for of_rank in rows] == [[0, 0, 1, 1], [2, 2]]


def test_graders_see_what_the_prompt_opened(tmp_path):
    sampler, _, _ = sampler_of(tmp_path, lambda prompt, place: "1")
    assert sampler.sample([2])[0].completion == "<think>\n1"
    assert sampler.sample([2])[0].scores[0] == 1.0


def test_special_tokens_are_kept_if_the_recipe_says_so(tmp_path):
    sampler, _, _ = sampler_of(tmp_path, lambda prompt, place: "4", keep_special_tokens=True)
    assert sampler.sample([0])[0].completion == "4§"


def test_greedy_rewards_are_those_of_one_completion_without_sampling(tmp_path):
    sampler, _, backend = sampler_of(tmp_path, lambda prompt, place: "6")
    assert sampler.greedy_rewards([0, 1]) == pytest.approx([3.5, 4.5])
    assert [sampling.temperature for sampling in backend.asked] == [0.0]

"""Validation inside training: held-out rows are completed by the current weights and judged by the rewards."""

import pandas as pd
import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import RecipeError, RewardError
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import load
from grpo_plugin.trainer.validator import Validator, held_out_rows
from tests.unit.trainer.characters import Backend, make_generator
from tests.unit.trainer.rollouts import one_process

REWARDS = """
def extract(text):
    return text


def equivalent(answer, other):
    return int(answer) == int(other)


def right(completions, answer, **columns):
    return [float(int(text) == int(gold)) for text, gold in zip(completions, answer)]


def length(completions, **columns):
    return [float(len(text)) for text in completions]


def broken(completions, **columns):
    return [1.0]
"""

ROWS = [{"prompt": "2+2=", "answer": "4"}, {"prompt": "3+3=", "answer": "6"}]


def validator_of(folder, answer, function="right", name="validation", **config):
    (folder / "of_test.py").write_text(REWARDS)
    block = {"functions": [{"function": f"of_test.py:{function}"}], "workers": 0}
    backend = Backend(answer)
    rewards = load(RewardsConfig.parse("rewards", block), folder)
    sets = [held_out_rows(name, ROWS, ValidationConfig(**config), rewards)]
    return Validator(sets, make_generator(backend), one_process(), GenerationLog(folder / "validation")), backend


def test_sampled_and_greedy_answers_are_judged_and_logged(tmp_path):
    validator, backend = validator_of(
        tmp_path,
        lambda prompt, place: "4" if place < 2 else "06",
        samples=4,
        pass_at=[1, 4],
        majority_at=[4],
        temperature=0.6,
        max_tokens=7,
    )
    (evaluation,) = validator(5)
    assert backend.synced == (5,), "the weights of this step"
    assert [(sampling.temperature, sampling.max_tokens) for sampling in backend.asked] == [(0.6, 7), (0.0, 7)]
    assert (evaluation.step, evaluation.overall.sampled, evaluation.overall.greedy) == (5, 0.5, 0.5)
    assert evaluation.overall.pass_at == {1: 0.5, 4: 1.0}
    assert evaluation.overall.majority_at == {4: 0.5}, "a tie in both prompts"
    rows = pd.read_parquet(tmp_path / "validation")
    assert len(rows) == 2 * 4 + 2 and set(rows["split"]) == {"validation"}
    assert rows[rows["temperature"] == 0.0]["completion"].tolist() == ["4", "4"]
    sampled = rows[rows["temperature"] > 0.0]
    assert sampled["row"].tolist() == [0] * 4 + [1] * 4 and sampled["tokens"].tolist() == [2, 2, 3, 3] * 2
    assert sampled["vote"].tolist() == [0, 0, 2, 2] * 2


def test_an_answer_that_the_ballot_cannot_read_casts_no_vote(tmp_path):
    validator, _ = validator_of(
        tmp_path,
        lambda prompt, place: ["4", "four"][place],
        samples=2,
        majority_at=[2],
        greedy=False,
        function="length",
    )
    validator(0)
    assert pd.read_parquet(tmp_path / "validation")["vote"].fillna(-1).tolist() == [0, -1, 0, -1]


def test_each_set_has_its_own_samples_and_files(tmp_path):
    validator, _ = validator_of(tmp_path, lambda prompt, place: "4", name="sums", greedy=False)
    first, rewards = validator._sets[0], validator._sets[0].rewards
    validator._sets = [first, held_out_rows("more", ROWS[:1], ValidationConfig(samples=2, greedy=False), rewards)]
    assert [(each.set, each.samples, each.overall.sampled) for each in validator(0)] == [
        ("sums", 1, 0.5),
        ("more", 2, 1.0),
    ]
    assert sorted(path.name for path in (tmp_path / "validation").iterdir()) == [
        "more-0000000-000.parquet",
        "sums-0000000-000.parquet",
    ]


@pytest.mark.parametrize("name", ["validation", "sums"])
def test_the_names_that_a_validation_may_log_are_known_before(name, tmp_path):
    options = {"samples": 2, "pass_at": [2], "majority_at": [1], "group_by": "answer"}
    validator, _ = validator_of(tmp_path, lambda prompt, place: "4", name=name, **options)
    (evaluation,) = validator(0)
    assert evaluation.logs().keys() <= set(validator.log_names()), "one prompt has no standard error"
    assert ("eval_pass@2/6" if name == "validation" else "eval_sums/pass@2/6") in validator.log_names()


def test_a_broken_reward_is_raised(tmp_path):
    validator, _ = validator_of(tmp_path, lambda prompt, place: "4", function="broken")
    with pytest.raises(RewardError, match="broken"):
        validator(0)


def test_what_cannot_be_judged_is_refused_before_anything_is_generated(tmp_path):
    with pytest.raises(RecipeError, match="no reward function 'wright'; did you mean 'right'"):
        validator_of(tmp_path, lambda prompt, place: "4", metric="wright")

"""Validation inside training: held-out rows are completed by the current weights and judged by the rewards."""

import pandas as pd
import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import load
from grpo_plugin.trainer.validator import Validator
from tests.unit.trainer.characters import Backend, make_generator
from tests.unit.trainer.rollouts import one_process

REWARDS = """
def right(completions, answer, **columns):
    return [float(text == gold) for text, gold in zip(completions, answer)]


def broken(completions, **columns):
    return [1.0]
"""

ROWS = [{"prompt": "2+2=", "answer": "4"}, {"prompt": "3+3=", "answer": "6"}]


def validator_of(folder, answer, function="right", **config):
    (folder / "of_test.py").write_text(REWARDS)
    block = {"functions": [{"function": f"of_test.py:{function}"}], "workers": 0}
    backend = Backend(answer)
    validator = Validator(
        ROWS,
        ValidationConfig(**config),
        make_generator(backend),
        load(RewardsConfig.parse("rewards", block), folder),
        one_process(),
        GenerationLog(folder / "generations"),
    )
    return validator, backend


def test_sampled_and_greedy_answers_are_judged_and_logged(tmp_path):
    validator, backend = validator_of(
        tmp_path, lambda prompt, place: "4" if place < 2 else "6", samples=4, pass_at=[1, 4], temperature=0.6
    )
    evaluation = validator(5)
    assert backend.synced == (5,), "the weights of this step"
    assert [sampling.temperature for sampling in backend.asked] == [0.6, 0.0]
    assert (evaluation.step, evaluation.overall.sampled, evaluation.overall.greedy) == (5, 0.5, 0.5)
    assert evaluation.overall.pass_at == {1: 0.5, 4: 1.0}
    rows = pd.read_parquet(tmp_path / "generations")
    assert len(rows) == 2 * 4 + 2 and set(rows["split"]) == {"validation"}
    assert rows[rows["temperature"] == 0.0]["completion"].tolist() == ["4", "4"]


def test_a_broken_reward_is_raised(tmp_path):
    validator, _ = validator_of(tmp_path, lambda prompt, place: "4", function="broken")
    with pytest.raises(RewardError, match="broken"):
        validator(0)

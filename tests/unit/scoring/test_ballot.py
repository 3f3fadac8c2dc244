import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import load
from grpo_plugin.scoring.ballot import ballot_of


def ballot(function, folder):
    rewards = load(RewardsConfig.parse("rewards", {"functions": [{"function": function}], "workers": 0}), folder)
    return ballot_of(rewards.rewards[0])


@pytest.mark.parametrize(
    ("function", "one", "other"),
    [
        ("rewards.math.accuracy", r"So \boxed{\frac{1}{2}}", r"It is \boxed{0.5}."),
        ("rewards.dapo.accuracy", "Answer: 1/2", "Answer: 0.5"),
        ("rewards.gsm8k.correctness", "<answer>1,000</answer>", "<answer> 1000 </answer>"),
        ("rewards.r1v.accuracy", "<answer>3</answer>", "<think>3 or 4</think><answer>3.0</answer>"),
        ("rewards.choice.accuracy", "The answer is (B).", "<answer>B</answer>"),
        ("rewards.arithmetic.accuracy", "7+8=15. Answer: 85", "Answer: 85"),
    ],
)
def test_shipped_rewards_tell_votes_apart(function, one, other, tmp_path):
    found = ballot(function, tmp_path)
    answers = found.extract(one), found.extract(other)
    assert None not in answers and found.equivalent(*answers)
    assert not found.equivalent(answers[0], "7")
    assert found.extract("") is None


def test_a_module_that_cannot_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "mine.py").write_text("def right(completions, **columns):\n    return [1.0] * len(completions)\n")
    with pytest.raises(RewardError, match=r"majority_at: mine\.py:right has no extract\(text\) and equivalent"):
        ballot("mine.py:right", tmp_path)

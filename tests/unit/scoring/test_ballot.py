import pytest

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import load
from grpo_plugin.scoring.ballot import Ballot, ballot_of
from rewards.arithmetic import accuracy


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


def test_a_number_of_too_many_digits_is_another_answer(tmp_path):
    found = ballot("rewards.arithmetic.accuracy", tmp_path)
    long = f"Answer: {'9' * 5000}"
    assert accuracy([long], ["85"]) == [0.0]
    assert found.answer(long) == "9" * 5000
    assert not found.same("9" * 5000, "85") and found.same("085", "85")


def test_what_raises_casts_no_vote_and_is_logged(caplog):
    found = Ballot(lambda text: {"3": 3}.get(text) or str(int(text)), lambda answer, other: 6 % int(answer) == 0)
    assert [found.answer(text) for text in ("2", "3", "0", "none")] == ["2", "3", None, None]
    assert "ends in '0'" in caplog.text and "ends in 'none'" in caplog.text
    assert found.same("2", "0") and not found.same("0", "2")
    assert "the votes '0' and '2' cannot be compared" in caplog.text


def test_a_module_that_cannot_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "mine.py").write_text("def right(completions, **columns):\n    return [1.0] * len(completions)\n")
    with pytest.raises(RewardError, match=r"majority_at: mine\.py:right has no extract\(text\) and equivalent"):
        ballot("mine.py:right", tmp_path)

from itertools import combinations

import pytest

from grpo_plugin.scoring import mathematics
from grpo_plugin.validation.votes import DRAWS, majority_at_k, votes


def test_equivalent_answers_are_one_vote():
    answers = ["1/2", "0.5", None, "3", r"\frac{1}{2}", "3.0", "0.5"]
    assert votes(answers, mathematics.equivalent) == [0, 0, None, 3, 0, 3, 0]
    assert votes([None, None], mathematics.equivalent) == [None, None]
    assert votes([], mathematics.equivalent) == []


def test_a_grader_that_trusts_one_side_more_is_called_in_both_orders():
    def one_way(answer, gold):
        return (answer, gold) == ("a", "b")

    assert votes(["a", "b"], one_way) == votes(["b", "a"], one_way) == [0, 0]


def test_equal_texts_are_compared_once():
    compared = []

    def equivalent(answer, gold):
        compared.append((answer, gold))
        return False

    votes(["1", "2"] * 16, equivalent)
    assert compared == [("2", "1"), ("1", "2")]


@pytest.mark.parametrize(
    ("cast", "correct", "k", "expected"),
    [
        ([0, 0, 2], [1, 1, 0], 3, 1.0),
        ([0, 0, 2], [0, 0, 1], 3, 0.0),
        ([0, 1], [1, 0], 2, 0.5),  # a tie
        ([0, None, None], [1, 0, 0], 3, 1.0),  # no answer is no vote
        ([None, None], [0, 0], 2, 0.0),
        ([0, 0, 2], [1, 1, 0], 1, 2 / 3),  # maj@1 is the mean
        # Of the three pairs of samples, {0, 1} votes right, {0, 2} and {1, 2} are ties.
        ([0, 0, 2], [1, 1, 0], 2, (1 + 0.5 + 0.5) / 3),
    ],
)
def test_the_majority_by_hand(cast, correct, k, expected):
    assert majority_at_k(cast, correct, k) == pytest.approx(expected)


def test_many_draws_are_sampled_near_the_exact_value_and_always_the_same():
    cast, correct, k = [0] * 7 + [7] * 6 + [None] * 3, [1] * 7 + [0] * 6 + [0] * 3, 6
    draws = list(combinations(range(16), k))
    assert len(draws) == 8008 > DRAWS

    def right(draw):
        first, second = sum(cast[i] == 0 for i in draw), sum(cast[i] == 7 for i in draw)
        return 0.5 if first == second > 0 else float(first > second)

    exact = sum(map(right, draws)) / len(draws)
    assert majority_at_k(cast, correct, k) == pytest.approx(exact, abs=0.04)
    assert majority_at_k(cast, correct, k) == majority_at_k(cast, correct, k)


def test_more_votes_than_samples_are_refused():
    with pytest.raises(ValueError, match="maj@3 needs at least 3 completions, got 2"):
        majority_at_k([0, 0], [1, 1], 3)

import pytest

from rewards import word_problems
from rewards.word_problems import accuracy, extract


def test_the_last_number_counts():
    texts = ["5 + 7 = 12, so 12 apples.", "It is -3", "1,200 in all", "2.50 dollars", "twelve", "12 and then 13"]
    assert accuracy(texts, ["12.0", -3, 1200, "2.5", "12", 12]) == [1, 1, 1, 1, 0, 0]
    assert accuracy([[{"role": "assistant", "content": "So 4."}]], ["4"]) == [1]
    assert [extract(text) for text in texts] == ["12", "-3", "1,200", "2.50", None, "13"]
    assert word_problems.equivalent("4", "4.0") and not word_problems.equivalent(None, "4")


def test_a_gold_answer_may_have_words_and_must_have_a_number():
    assert accuracy(["So 5.", "6", "0.5", "none"], ["5 apples", "$5", ".5", "5"]) == [1, 0, 1, 0]
    with pytest.raises(ValueError, match=r"answer: 'five' has no number; check prompts\.answer_key"):
        accuracy(["5"], ["five"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("10-3", "3"), ("(10)-3", "3"), ("x-3", "3"), ("10 = -3", "-3"), ("-3", "-3"), ("$-3", "-3"), ("(-3)", "-3")],
)
def test_a_minus_between_two_terms_is_no_sign(text, number):
    assert extract(text) == number

import pytest

from rewards import dapo

OVERLONG = {"max_response_length": 100, "overlong_buffer_length": 20}


def test_accuracy_is_plus_or_minus_one() -> None:
    texts = ["Answer: 4/3", "Answer: 1\nAnswer: 2", "Answer: 1\nAnswer: 2", "the answer is 5", "", "answer : **5**"]
    golds = [r"\frac{4}{3}", "2", "1", "5", "None", "5"]
    assert dapo.accuracy(texts, golds) == [1.0, 1.0, -1.0, -1.0, -1.0, 1.0]
    assert dapo.accuracy_normalized(texts, golds) == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def test_the_answer_may_stand_on_the_next_line() -> None:
    texts = [
        "Answer:\n34",
        "**Answer:**\n\n34",
        "Answer: \r\n$34$\nDone.",
        "Answer：34",
        "Answer:\n",
        "Answer:\n33\n34",
    ]
    assert dapo.accuracy(texts, ["34"] * 6) == [1.0, 1.0, 1.0, 1.0, -1.0, -1.0]


def test_only_the_last_300_characters_count() -> None:
    assert dapo.accuracy(["Answer: 5\n" + "." * 300], ["5"]) == [-1.0]


def test_penalty_by_hand() -> None:
    lengths = [0, 80, 81, 90, 100, 101]
    ids = [[0] * length for length in lengths]
    assert dapo.overlong([""] * 6, ids, **OVERLONG) == pytest.approx([0.0, 0.0, -0.05, -0.5, -1.0, -1.0])
    assert dapo.overlong([""], [[0] * 90], **OVERLONG, overlong_penalty_factor=2.0) == [-1.0]


def test_compute_score_is_easyr1s() -> None:
    row = {"response": "Answer: 5", "response_length": 90, "ground_truth": "5"}
    assert dapo.compute_score([row], 100, 20, 0.5) == [
        {"overall": 0.75, "accuracy": 1.0, "overlong": -0.5, "accuracy_normalized": 1.0}
    ]

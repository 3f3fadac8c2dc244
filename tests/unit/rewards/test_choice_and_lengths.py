import pytest

from rewards import choice, lengths


def test_letters_in_all_dresses() -> None:
    texts = [r"\boxed{B}", r"\boxed{\text{(B)}}", "The answer is (b).", "Answer: B) Paris", r"\boxed{C}", "B and C", ""]
    assert choice.accuracy(texts, ["B"] * len(texts)) == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_the_text_of_an_option_counts_as_its_letter() -> None:
    options = [["Rome", "Oslo", "Paris"]] * 4
    texts = ["<answer>Paris</answer>", r"\boxed{C}", "<answer>Oslo</answer>", "<answer>Berlin</answer>"]
    assert choice.accuracy(texts, ["C"] * 4, choices=options) == [1.0, 1.0, 0.0, 0.0]
    assert choice.accuracy([r"\boxed{C}", r"\boxed{A}"], ["Paris", "Paris"], choices=options[:2]) == [1.0, 0.0]


def test_cosine_by_hand() -> None:
    texts, golds = [r"\boxed{4}"] * 4, ["4", "4", "5", "5"]
    ids = [[], [0] * 100, [], [0] * 100]
    assert lengths.cosine(texts, golds, ids, max_length=100) == pytest.approx([1.0, 0.5, -1.0, -0.5])
    assert lengths.cosine(texts[:1], golds[:1], [[0] * 150], max_length=100) == pytest.approx([0.5])
    assert lengths.cosine(texts[:1], golds[:1], [[0] * 150], max_length=100, exceeded=-10.0) == [-10.0]
    # A quarter of the way: 0.5 + 0.5 * 0.5 * (1 + cos(pi / 4)).
    assert lengths.cosine(texts[:1], golds[:1], [[0] * 25], max_length=100) == pytest.approx([0.9267767])


def test_repetition_by_hand() -> None:
    # Bigrams of "a a a a": three, one of them different: 2/3 repeated.
    assert lengths.repetition(["a a a a", "a b c d", "a", ""], ngram=2) == pytest.approx([-2 / 3, 0.0, 0.0, 0.0])
    assert lengths.repetition(["a a a a"], ngram=2, max_penalty=-0.3) == pytest.approx([-0.2])

import pytest

from grpo_plugin.compat.encodings import BUNDLE, token_counts
from tests.tiny import make_tokenizer

START, END = "<|im_start|>", "<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()._tokenizer


@pytest.mark.parametrize("size", [1, BUNDLE - 1, BUNDLE, BUNDLE + 1, 3 * BUNDLE + 2])
def test_bundled_texts_count_as_each_alone_does(tokenizer, size):
    texts = [f"{START}user {'é' * number}{END}" if number % 2 else "x" * number for number in range(size)]
    leaders = [START if number % 2 else None for number in range(size)]
    expected = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert token_counts(tokenizer, texts, leaders) == expected


def test_texts_of_two_leaders_are_told_apart(tokenizer):
    texts = [START, f"{END}ab", f"{START}abc", END, f"{START}{END}"]
    assert token_counts(tokenizer, texts, [START, END, START, END, START]) == [1, 3, 4, 1, 2]


def test_a_leader_that_turns_up_inside_a_text_falls_back_to_one_by_one(tokenizer):
    assert token_counts(tokenizer, [f"{START}a{START}", f"{START}b"], [START, START]) == [3, 2]

"""Counts by segments equal counts of the whole, whatever the tokenizer and the text."""

import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from grpo_plugin.prompts.segments import REMEMBERED, Cutter, SegmentCounter, parallel_tokenizer

from .vocabularies import TOKENIZERS, awkward, metaspace_first, qwen

PIECES = st.sampled_from(
    [
        *("<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|im", "a", "word", "words", "<mask>", "<pad>", "x>", "<gap>"),
        *(" ", "  ", "\n", "\n\n", "\t", "fox", "Fox", "<think>", "_", "7", "user\n", "hello world", "你好", "é", "😀"),
    ]
)
TEXTS = st.lists(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=12).map("".join), min_size=1, max_size=5)


@pytest.fixture(scope="module", params=TOKENIZERS)
def pair(request):
    """The same tokenizer twice: one counts by segments, the other encodes whole texts."""
    whole = TOKENIZERS[request.param]()
    counter = SegmentCounter(Tokenizer.from_str(whole.to_str()))  # not trained twice: trainers break ties by chance
    whole.no_truncation()
    whole.no_padding()
    return counter, whole


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS)
def test_segments_count_as_the_whole(pair, texts):
    counter, whole = pair
    expected = [len(encoding) for encoding in whole.encode_batch(texts, add_special_tokens=False)]
    assert counter.count(texts) == expected
    assert counter.count(texts + texts) == expected * 2  # now with remembered units


def test_cuts_are_made_at_plain_special_tokens_only():
    text = "x<|im_start|>a<|im_end|>b <mask>c<|im_start|>d"
    assert list(Cutter(qwen()).units(text)) == ["x", "<|im_start|>a", "<|im_end|>b <mask>c", "<|im_start|>d"]
    # "a<|im_end|>" is the longer token there, and begins with a letter.
    assert list(Cutter(awkward()).units(text)) == ["x", "<|im_start|>a<|im_end|>b <mask>c", "<|im_start|>d"]


def test_no_cut_while_special_tokens_are_encoded_as_text():
    tokenizer = qwen()
    tokenizer.encode_special_tokens = True
    assert list(Cutter(tokenizer).units("<s>a</s>")) == ["<s>a</s>"]


def test_units_are_joined_where_no_token_can_reach_over_the_seam():
    assert Cutter(qwen()).leader("<|im_start|>a") == "<|im_start|>"
    assert Cutter(qwen()).leader("a<|im_start|>") is None
    assert Cutter(awkward()).leader("<|im_start|>a") is None  # "a<|im_end|>" is a token of its own there
    assert Cutter(qwen()).neutral == "</s>"
    assert Cutter(metaspace_first()).neutral is None  # a word that begins the text has a space put before it


def test_a_leader_that_the_normaliser_makes_of_other_text():
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "?": 2}, unk_token="?"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>"])
    assert tokenizer.encode("\uff1cs\uff1e").ids == [0]
    assert SegmentCounter(tokenizer).count(["<s>a a", "<s>\uff1cs\uff1e", "<s>a"]) == [3, 2, 2]


def test_counting_leaves_little_behind():
    """tokenizers 0.23.1 leaks one object for each string that it encodes, on Python before 3.13."""
    counter = SegmentCounter(qwen())
    counter.count([f"<s>{i} fox" for i in range(800)])
    before = sys.getallocatedblocks()
    for text in ("{} fox", "<s>{} fox"):
        counter.count([text.format(i) for i in range(800, 1600)])
    assert sys.getallocatedblocks() - before < 1600 * 0.3


def test_truncation_and_padding_of_the_tokenizer_file_do_not_count():
    assert SegmentCounter(awkward()).count(["1 2 3 4 5 6 7 8 9"]) == [17]


def test_memory_is_bounded():
    counter = SegmentCounter(qwen())
    counter.count([f"<s>{i}" for i in range(REMEMBERED + 10) for _ in range(2)])
    assert len(counter._known) <= REMEMBERED


@pytest.mark.parametrize("before", [None, "false"])
def test_parallelism_is_given_back(before, monkeypatch):
    if before is None:
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    else:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
    with parallel_tokenizer():
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert os.environ.get("TOKENIZERS_PARALLELISM") == before

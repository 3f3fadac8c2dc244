"""The feed gives the same prompts in the same order, however often a run is interrupted."""

import pytest
from datasets import Dataset

from grpo_plugin.prompts.order import permutation
from grpo_plugin.trainer.feed import Clock, Feed

ROWS = Dataset.from_dict({"prompt": [f"prompt {i}" for i in range(5)]})


def stream():
    return ROWS.to_iterable_dataset()


def texts(feed: Feed, number: int) -> list[str]:
    return [feed.row(row)["prompt"] for row in feed.take(number)]


def test_each_pass_has_an_order_of_its_own():
    feed = Feed(ROWS, seed=3)
    assert feed.take(5) == permutation(5, 3, 0).tolist()
    assert feed.take(5) == permutation(5, 3, 1).tolist()
    assert Feed(ROWS, seed=3, shuffle=False).take(7) == [0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("data", [lambda: ROWS, stream], ids=["rows", "stream"])
def test_a_restored_feed_goes_on_where_the_other_was(data):
    whole, first = Feed(data(), seed=0), Feed(data(), seed=0)
    expected = texts(whole, 4) + texts(whole, 5)
    begun = texts(first, 4)
    second = Feed(data(), seed=0)
    second.restore(first.state())
    assert begun + texts(second, 5) == expected


def test_looking_ahead_takes_nothing():
    for data in (ROWS, stream()):
        feed = Feed(data, seed=0)
        ahead = feed.peek(3)
        assert feed.take(3) == ahead
        assert feed.taken == 3


def test_a_stream_lets_go_of_what_is_done():
    feed = Feed(stream(), seed=0)
    kept, gone = feed.take(2)
    ahead = feed.peek(1)
    feed.forget({kept})
    assert feed.row(kept) and feed.row(ahead[0])
    with pytest.raises(KeyError):
        feed.row(gone)
    restored = Feed(stream(), seed=0)
    restored.restore(feed.state())
    assert restored.row(kept) == feed.row(kept)


def test_a_clock_ends():
    assert list(Clock(3)) == [None, None, None]
    assert len(Clock(3)) == 3

"""Streamed training rows are the rows of the table, in an order that seed and data alone decide."""

import pytest
from datasets import IterableDataset

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.readers import CHUNK

from .vocabularies import qwen, wrapped


def texts(rows) -> list[str]:
    return [row["prompt"][-1]["content"] for row in rows]


def test_the_stream_has_the_rows_of_the_table(jsonl, prompts):
    jsonl([{"prompt": "7 " * (i % 9 + 1), "extra": {"i": i} if i % 2 else i} for i in range(30)])
    block = {"tokenizer": wrapped(qwen()), "max_length": 25, "validation": "train.jsonl"}
    table, stream = prompts(**block), prompts(**block, streaming=True)
    assert isinstance(stream.train, IterableDataset)
    assert 0 < len(table.train) < 30
    assert list(stream.train) == list(stream.train) == list(table.train)
    assert list(stream.validation) == list(table.validation)
    assert stream.columns == table.columns
    assert stream.longest == 25


def test_weights_draw_by_seed_until_each_source_was_read(jsonl, prompts):
    jsonl([{"prompt": f"a{i}"} for i in range(100)], "a.jsonl")
    jsonl([{"prompt": f"b{i}"} for i in range(10)], "b.jsonl")
    train = [{"source": "a.jsonl", "weight": 1}, {"source": "b.jsonl", "weight": 1}]
    first, again, other = (texts(prompts(train=train, streaming=True, seed=s).train) for s in (1, 1, 2))
    assert first == again != other
    assert [text for text in first if text.startswith("a")] == [f"a{i}" for i in range(100)]
    drawn = [text for text in first if text.startswith("b")]
    assert 70 < len(drawn) < 140
    assert drawn[:20] == [f"b{i}" for i in range(10)] * 2


def test_bad_rows_stop_at_once_or_when_reached(jsonl, prompts):
    jsonl([{"prompt": ""}])
    with pytest.raises(DataError, match="an empty prompt in row 1"):
        prompts(streaming=True)
    jsonl([{"prompt": "q"}] * CHUNK + [{"prompt": ""}])
    rows = iter(prompts(streaming=True).train)
    with pytest.raises(DataError, match=f"an empty prompt in row {CHUNK + 1}"):
        list(rows)
    jsonl([{"prompt": "q"}] * CHUNK + [{"prompt": "q", "late": 1}])
    with pytest.raises(DataError, match=f"column 'late' of train.jsonl comes first in row {CHUNK + 1}, too late"):
        list(prompts(streaming=True).train)


def test_a_file_that_vanishes_in_mid_epoch(jsonl, prompts):
    """A stream names it; a table was prepared as a whole, and goes on."""
    block = {"train": ["a.jsonl", "b.jsonl"]}
    for name in "ab":
        jsonl([{"prompt": f"{name}{number}"} for number in range(3)], f"{name}.jsonl")
    stream, table = iter(prompts(**block, streaming=True).train), iter(prompts(**block).train)
    assert next(stream) == next(table)
    gone = jsonl([], "b.jsonl")
    gone.unlink()
    with pytest.raises(
        DataError, match=r"/b.jsonl: cannot be read \(No such file or directory\); check that it is there"
    ):
        list(stream)
    assert len(list(table)) == 5


def test_images_are_streamed_as_images(tmp_path, jsonl, prompts):
    from PIL import Image

    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    jsonl([{"prompt": "a", "pic": "a.png"}, {"prompt": "b", "pic": None}])
    assert [[image.size for image in row["images"]] for row in prompts(image_key="pic", streaming=True).train] == [
        [(4, 3)],
        [],
    ]

"""Rows come as they were written; what cannot be read is named by file and row."""

import datetime
import json
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grpo_plugin.config.prompts import WeightedSource
from grpo_plugin.errors import DataError
from grpo_plugin.prompts import json_list
from grpo_plugin.prompts.readers import CHUNK, read
from grpo_plugin.recipe.sources import Source, resolve


def one(spec: str, folder: Path) -> Source:
    return resolve("prompts.train", [WeightedSource(source=spec)], folder)[0]


@pytest.fixture
def rows(tmp_path):
    def of(name: str, content: str | bytes | None = None) -> list[dict]:
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        source = one(name, tmp_path)
        return [row for chunk in read(source) for row in chunk.rows]

    return of


def test_json_lines_guess_no_types(rows):
    content = (
        '{"a": "2024-01-01", "b": 007e0}'.replace("007e0", "7.0") + '\n\n{"a": "None", "b": 123456789012345678901}\n'
    )
    assert rows("x.jsonl", content) == [{"a": "2024-01-01", "b": 7.0}, {"a": "None", "b": 123456789012345678901}]


def test_json_list_or_lines_with_byte_order_mark(rows):
    assert rows("x.json", b'\xef\xbb\xbf [{"a": 1}, {"a": null}]') == [{"a": 1}, {"a": None}]
    assert rows("x.json", '{"a": 1}\n{"a": 2}') == [{"a": 1}, {"a": 2}]


def test_csv_is_text_and_only_nothing_is_null(rows):
    assert rows("x.csv", 'q,a\n"1, 2\n3",007\nNA,None\n,x\n') == [
        {"q": "1, 2\n3", "a": "007"},
        {"q": "NA", "a": "None"},
        {"q": None, "a": "x"},
    ]


def test_parquet(rows, tmp_path):
    table = pa.table({"n": [1, None], "t": [datetime.date(2024, 1, 2), None], "s": [{"x": [1]}, None]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert rows("x.parquet") == [
        {"n": 1, "t": datetime.date(2024, 1, 2), "s": {"x": [1]}},
        {"n": None, "t": None, "s": None},
    ]


def test_chunks_number_their_rows(tmp_path, jsonl):
    jsonl([{"i": i} for i in range(CHUNK + 3)])
    source = one("train.jsonl", tmp_path)
    assert [(chunk.numbers[0], len(chunk.rows)) for chunk in read(source)] == [(1, CHUNK), (CHUNK + 1, 3)]
    assert {len(chunk.rows) for chunk in read(source, size=79)} == {79}


def test_rows_of_jsonl_are_counted_by_lines(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n\n\n{"a": 2}\n')
    assert [chunk.numbers for chunk in read(one("x.jsonl", tmp_path))] == [(1, 4)]


def test_a_json_list_is_read_a_block_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(json_list, "BLOCK", 3)
    content = [{"a": "x" * length, "b": [{"c": "}],\\" * length}]} for length in range(20)]
    for indent in (None, 2):
        assert rows("x.json", json.dumps(content, indent=indent)) == content
    assert rows("x.json", " [ ] ") == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", '{"a": 1}\n{"a": \n', r"x\.jsonl: line 2 is not JSON"),
        ("x.jsonl", '{"a": "\\ud83d"}\n', "line 1 is not JSON of valid text .*surrogates"),
        ("x.jsonl", "[1]\n", "row 1 is list, not an object;"),
        ("x.json", '[{"a": 1}, 2]', "row 2 is int, not an object"),
        ("x.json", "[1", "row 1 is int, not an object"),
        ("x.json", '[{"a": 1}, {"a"', r"x\.json: after row 1 not JSON .*it must hold a list of objects"),
        ("x.json", '[{"a": 1} {"a": 2}]', "after row 1 not JSON .expected , or ], got {"),
        ("x.json", '[{"a": 1}] []', "something follows the list"),
        ("x.json", '{\n  "a": 1\n}', "must hold a list of objects, or one object per line"),
        ("x.json", '[{"a": "\\ud83d"}]', "not JSON .*surrogates"),
        ("x.json", "[" + '{"a":' * 100_000, "recursion"),
        ("x.jsonl", '{"a":' * 100_000, "line 1 is not JSON"),
        ("x.csv", 'a,b\n1,2\n"3,4\n', "row 2 is not CSV"),
        ("x.jsonl", b'{"a": "\xff"}', "not UTF-8"),
        ("x.csv", "a,b\n1\n", "row 1 does not have as many values as the header"),
        ("x.csv", "a,a\n1,2\n", "two columns of the header have the same name"),
        ("x.parquet", "PAR?", "not a Parquet file"),
    ],
)
def test_unreadable_files(rows, name, content, words):
    with pytest.raises(DataError, match=words):
        rows(name, content)


def test_a_folder_laid_out_like_a_hub_dataset(tmp_path, jsonl, monkeypatch):
    jsonl([{"q": "a"}], "user/name/train.jsonl")
    jsonl([{"q": "b"}, {"q": "c"}], "user/name/test.jsonl")
    monkeypatch.chdir(tmp_path)
    source = one("user/name@test", tmp_path)
    assert [row for chunk in read(source) for row in chunk.rows] == [{"q": "b"}, {"q": "c"}]
    assert [row for chunk in read(source, streaming=True) for row in chunk.rows] == [{"q": "b"}, {"q": "c"}]
    wrong = one("user/name@dev", tmp_path)
    with pytest.raises(DataError, match=r"'user/name' \(config default, split dev\) cannot be loaded: Unknown split"):
        list(read(wrong))


def test_a_hub_out_of_reach_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.load_dataset", Mock(side_effect=RuntimeError("Cannot send a request.\nmore")))
    words = r"^dataset 'some/one' \(config main, split train\) cannot be loaded: Cannot send a request; check the name"
    with pytest.raises(DataError, match=words):
        list(read(one("some/one:main@train", tmp_path)))

import os
from pathlib import Path

import pytest

from grpo_plugin.config.prompts import PromptsConfig, WeightedSource
from grpo_plugin.errors import DataError
from grpo_plugin.prompts.readers import read
from grpo_plugin.recipe.sources import Hub, Source, check_sources, resolve


def one(spec: str, folder: Path) -> Source:
    return resolve("prompts.train", [WeightedSource(source=spec)], folder)[0]


@pytest.mark.parametrize(
    ("spec", "hub"),
    [
        ("hiyouga/math12k@train", Hub("hiyouga/math12k", None, "train")),
        ("openai/gsm8k:main@test", Hub("openai/gsm8k", "main", "test")),
        ("imdb@train[:100]", Hub("imdb", None, "train[:100]")),
        ("a.b/c-d_e:x.y-1@validation[10%:20%]", Hub("a.b/c-d_e", "x.y-1", "validation[10%:20%]")),
    ],
)
def test_hub_names(spec, hub, tmp_path):
    assert one(spec, tmp_path).hub == hub


def test_files_folders_and_globs(tmp_path, jsonl, monkeypatch):
    a, b = jsonl([{}], "data/a.jsonl"), jsonl([{}], "data/deep/b.json")
    (tmp_path / "data/notes.txt").write_text("not data")
    jsonl([{}], "data/.ipynb_checkpoints/a.jsonl")
    assert one("data/a.jsonl", tmp_path).files == (a,)
    assert one("data", tmp_path).files == (a, b)
    assert one("data/*.jsonl", tmp_path).files == (a,)
    assert one(str(a), Path("/")).files == (a,)
    monkeypatch.chdir(tmp_path / "data")
    assert one("a.jsonl", Path("/")).files == (a,)  # beside the recipe first, then the working directory


def test_formats_are_known_in_capitals_too(tmp_path, jsonl):
    upper = jsonl([{"q": 1}], "data/A.JSONL")
    assert one("data", tmp_path).files == one("data/A.JSONL", tmp_path).files == (upper,)
    assert [chunk.rows for chunk in read(one("data", tmp_path))] == [({"q": 1},)]


def test_weights_are_one_where_only_others_have_them(tmp_path, jsonl):
    jsonl([{}], "a.jsonl")
    config = PromptsConfig.parse("prompts", {"train": ["a.jsonl", {"source": "a.jsonl", "weight": 2}]})
    assert [source.weight for source in resolve("prompts.train", config.train, tmp_path)] == [1.0, 2.0]
    assert one("a.jsonl", tmp_path).weight is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("trian.jsonl", "'trian.jsonl' was not found in .* did you mean 'train.jsonl'?"),
        ("nowhere/x.csv", "check the path; a dataset of the hub is written user/name@split"),
        ("user/name", "names no split; write user/name@train"),
        ("user/name:config", "names no split; write user/name:config@train"),
        ("notes.txt", r"is a \.txt file; known formats: \.jsonl, \.json, \.csv, \.parquet"),
        ("empty", "folder 'empty' holds no data file"),
        ("zzz.jsonl", "check the path; a dataset of the hub"),
        ("zz*.jsonl", "check the path; a dataset of the hub"),
        ("train.jsonl@train", "names a split of a file, which has none; write train.jsonl"),
        ("packed", r"folder 'packed' holds deep.b.jsonl.gz, which cannot be read; unpack"),
    ],
)
def test_what_is_not_there_is_said_before_anything_loads(spec, words, tmp_path, jsonl):
    jsonl([{}])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    jsonl([{}], "packed/a.jsonl")
    jsonl([{}], "packed/deep/b.jsonl.gz")
    config = PromptsConfig.parse("prompts", {"train": "train.jsonl", "validation": spec})
    with pytest.raises(DataError, match=f"^prompts.validation: .*{words}"):
        check_sources(config, tmp_path)


def test_a_pipe_is_named_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=r"prompts\.train: 'rows\.jsonl' is neither a file nor a folder; name one"):
        one("rows.jsonl", tmp_path)

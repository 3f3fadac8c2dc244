"""The `prompts:` block, from files to the rows the trainer gets."""

import json
import logging
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from grpo_plugin.errors import DataError, RecipeError

from .vocabularies import CHATML, LLAMA, qwen, wrapped

QUESTIONS = [{"question": f"{i}+1?", "gold": str(i + 1), "extra_info": {"i": i}} for i in range(4)]
KEYS = {"prompt_key": "question", "answer_key": "gold"}


def test_rows_have_prompt_answer_and_every_other_column(jsonl, prompts):
    jsonl(QUESTIONS)
    data = prompts(**KEYS, system="Add.", template="{{ content }} ({{ extra_info.i }})")
    assert data.train[2] == {
        "prompt": [{"role": "system", "content": "Add."}, {"role": "user", "content": "2+1? (2)"}],
        "question": "2+1?",
        "gold": "3",
        "extra_info": {"i": 2},
        "answer": "3",
    }
    assert data.columns == ("prompt", "question", "gold", "extra_info", "answer")
    assert (data.validation, data.longest, data.notes) == ({}, None, ())


def test_without_a_column_of_prompts_the_environment_makes_them(jsonl, prompts):
    jsonl([{"environment": "maze", "prompt": "not meant"}, {"environment": "chess", "prompt": "not meant"}])
    data = prompts(prompt_key=None, system="Play.")
    chat = [{"role": "system", "content": "Play."}, {"role": "user", "content": ""}]
    assert list(data.train) == [{"prompt": chat, "environment": name} for name in ("maze", "chess")]
    assert len(data.notes) == 1 and "the data's own columns prompt" in data.notes[0]


@pytest.mark.parametrize(
    "values",
    [
        [{"a": 1}, {"b": [1, "x", None]}],
        [1, "1", 1.5, None],
        [None, None],
        [2**63, 1],
        [True, False],
        [0.1, None],
        ["3", "x=2", '{"a": 1}'],
        [[], ["a"]],
    ],
)
def test_columns_of_any_shape_come_back_as_they_were(values, jsonl, prompts):
    jsonl([{"prompt": "q", "extra": value} for value in values])
    expected = [str(v) for v in values] if 2**63 in values else values  # too large for Arrow: the column is text
    assert list(prompts().train["extra"]) == expected


def test_an_answer_within_objects_and_one_behind_a_mark(jsonl, prompts):
    jsonl([{"prompt": "q", "reward_model": {"ground_truth": "7"}, "solution": "1+1\n#### 2"}])
    assert prompts(answer_key="reward_model.ground_truth").train[0]["answer"] == "7"
    assert prompts(answer_key="solution", answer_extract="gsm8k").train[0]["answer"] == "2"


def test_names_that_the_trainer_needs_are_told(jsonl, prompts, caplog):
    jsonl([{"q": "1+1?", "prompt": "other", "completion": "x", "answer": "no", "gold": "2"}])
    with caplog.at_level(logging.WARNING):
        data = prompts(prompt_key="q", answer_key="gold")
    assert data.train[0] == {"prompt": [{"role": "user", "content": "1+1?"}], "q": "1+1?", "gold": "2", "answer": "2"}
    note = "prompts.train: left out, as the trainer gives their names a meaning: the data's own columns"
    assert data.notes == (f"{note} answer, completion, prompt.",)
    assert caplog.messages == list(data.notes)


@pytest.mark.parametrize(
    ("rows", "block", "words"),
    [
        (
            [{"q": "a"}] * 7,
            {"prompt_key": "qu"},
            "has no column 'qu' .*did you mean 'q'.* in rows 1, 2, 3, 4, 5 and 2 more",
        ),
        ([{"prompt": "a"}, {"prompt": " "}], {}, "has an empty prompt in row 2; correct"),
        ([{"prompt": "a", "answer": None}], {"answer_key": "answer"}, "has a null 'answer' in row 1"),
        ([{"prompt": "a", "answer": ""}], {"answer_key": "answer"}, "has an empty answer in row 1"),
        (
            [{"prompt": "a", "answer": "1"}, {"prompt": ""}, {"prompt": "a", "anser": "1"}],
            {"answer_key": "answer"},
            "an empty prompt in row 2; .* no column 'answer' .*did you mean 'anser'.* in row 3",
        ),
        ([{"prompt": "a", "image": "x.png"}], {"image_key": "image"}, "an image that is not there .* in row 1"),
        ([], {}, "'train.jsonl' has no rows"),
        ([{"prompt": "a", "x": {"n": 2**65}}], {}, "column 'x' holds an integer over 64 bits"),
    ],
)
def test_bad_rows_stop_with_their_numbers(rows, block, words, jsonl, prompts):
    jsonl(rows)
    with pytest.raises(DataError, match=f"(?s)prompts.train: .*{words}" if "64 bits" not in words else words):
        prompts(**block)


def test_faults_name_the_file(jsonl, prompts):
    jsonl([{"prompt": "a"}], "many/a.jsonl")
    bad = jsonl([{"prompt": "a"}, {"prompt": ""}], "many/b.jsonl")
    with pytest.raises(
        DataError, match=f"^prompts.train: {bad} has an empty prompt in row 2; correct or remove them.$"
    ):
        prompts(train="many")


def test_a_chat_the_model_refuses_is_named(jsonl, prompts):
    jsonl([{"prompt": "a"}, {"prompt": [{"role": "assistant", "content": "b"}]}])
    with pytest.raises(
        DataError, match=r"messages that the model's chat template refuses .roles must alternate. in row 2"
    ):
        prompts(tokenizer=wrapped(qwen(), LLAMA))


def test_plain_text_for_a_tokenizer_without_chat_template(jsonl, prompts):
    jsonl(QUESTIONS)
    data = prompts(tokenizer=wrapped(qwen(), None), **KEYS, system="Add.")
    assert data.train[0]["prompt"] == "Add.\n\n0+1?"
    jsonl([{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    with pytest.raises(DataError, match=r"several turns or images, without a chat template for them .* in row 1"):
        prompts(tokenizer=wrapped(qwen(), None))


def test_bytes_and_dates_in_parquet(tmp_path, prompts):
    table = pa.table(
        {"prompt": ["a"], "raw": [b"\x00"], "audio": [{"bytes": b"\x00"}], "at": [pa.scalar(0, pa.date32())]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    data = prompts(train="x.parquet")
    assert data.train[0] == {"prompt": [{"role": "user", "content": "a"}], "raw": b"\x00", "at": "1970-01-01"}
    assert data.notes == ("prompts.train: left out, as they hold bytes inside objects: columns audio.",)


def test_images_none_one_and_several(tmp_path, jsonl, prompts):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    rows = [("none", None), ("<image>one", "a.png"), ("two", ["a.png", "a.png"])]
    jsonl([{"prompt": text, "pics": images} for text, images in rows[:1]], "a.jsonl")
    jsonl([{"prompt": text, "pics": images} for text, images in rows[1:]], "b.jsonl")
    train = prompts(train=["a.jsonl", "b.jsonl"], image_key="pics", max_pixels=300).train
    image, text = {"type": "image"}, lambda words: {"type": "text", "text": words}
    contents = [[text("none")], [image, text("one")], [image, image, text("two")]]
    assert [row["prompt"] for row in train] == [[{"role": "user", "content": content}] for content in contents]
    assert [[image.size for image in row["images"]] for row in train] == [[], [(20, 15)], [(20, 15)] * 2]
    assert "pics" not in train.column_names


def naive(tokenizer, row) -> int:
    return len(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False))


@pytest.fixture
def growing(jsonl):
    """Questions of 1, 2, … 20 numbers."""
    jsonl([{"question": " ".join("7" for _ in range(n)), "gold": n} for n in range(1, 21)])


def test_overlong_prompts_are_dropped_and_counted(growing, prompts, tmp_path):
    tokenizer = wrapped(qwen())
    everything = prompts(tokenizer=tokenizer, **KEYS)
    lengths = [naive(tokenizer, row) for row in everything.train]
    assert everything.longest == max(lengths)
    limit = lengths[16]
    data = prompts(tokenizer=tokenizer, **KEYS, max_length=limit)
    assert data.train["gold"] == list(range(1, 18))
    assert data.longest == limit
    assert data.notes == (
        f"prompts.train: 3 of 20 prompts are over max_length {limit} and were dropped (the longest has {max(lengths)} "
        f"tokens): {tmp_path / 'train.jsonl'} rows 18, 19 and 20.",
    )


def test_overlong_prompts_stop_the_run(growing, prompts):
    with pytest.raises(DataError, match=r"a prompt over max_length 40 tokens \(prompts.overlong: error\) in rows"):
        prompts(tokenizer=wrapped(qwen()), **KEYS, max_length=40, overlong="error")


def test_overlong_prompts_are_cut_from_the_left_by_no_more_than_needed(growing, prompts):
    tokenizer = wrapped(qwen())
    full = prompts(tokenizer=tokenizer, **KEYS).train
    limit = naive(tokenizer, full[9])
    cut = prompts(tokenizer=tokenizer, **KEYS, max_length=limit, overlong="truncate_left")
    assert len(cut.train) == 20
    assert [row["prompt"] for row in cut.train][:10] == [row["prompt"] for row in full][:10]
    assert {naive(tokenizer, row) for row in list(cut.train)[10:]} == {limit}
    assert full[19]["prompt"][0]["content"].endswith(cut.train[19]["prompt"][0]["content"])
    assert "were cut from the left" in cut.notes[0]


def test_what_no_cut_can_make_fit(growing, prompts):
    with pytest.raises(DataError, match="a prompt that is over max_length 3 tokens even without its text"):
        prompts(tokenizer=wrapped(qwen()), **KEYS, max_length=3, overlong="truncate_left")
    with pytest.raises(DataError, match=r"20 of 20 prompts are over max_length 3 .* Nothing is left; raise max_length"):
        prompts(tokenizer=wrapped(qwen()), **KEYS, max_length=3)


def test_a_limit_needs_the_tokenizer(growing, prompts):
    with pytest.raises(RecipeError, match=r"prompts.max_length: 40 tokens cannot be measured without the tokenizer"):
        prompts(**KEYS, max_length=40)


def test_weights_mix_and_say_so(jsonl, prompts):
    jsonl([{"prompt": f"a{i}"} for i in range(10)], "a.jsonl")
    jsonl([{"prompt": f"b{i}"} for i in range(10)], "b.jsonl")
    weighted = [{"source": "a.jsonl", "weight": 3}, "b.jsonl"]
    first, again, other = (prompts(train=weighted, seed=seed).train["prompt"] for seed in (1, 1, 2))
    assert list(first) == list(again) != list(other)
    texts = [chat[0]["content"] for chat in first]
    assert sum(text.startswith("a") for text in texts) == 15
    assert len({text for text in texts if text.startswith("b")}) == 5


def test_the_second_run_reads_the_cache_until_the_content_changes(jsonl, prompts, own_cache):
    jsonl(QUESTIONS)
    prepared = own_cache / "prompts"

    def folders() -> int:
        return sum(path.is_dir() for path in prepared.iterdir())

    tokenizer = wrapped(qwen())
    first = prompts(tokenizer=tokenizer, **KEYS)
    assert list(prompts(tokenizer=tokenizer, **KEYS).train) == list(first.train)
    assert folders() == 1
    changes = [{"system": "s"}, {"template": "{{ content }}?"}, {"max_length": 99}, {"validation": "train.jsonl"}]
    for number, change in enumerate(changes, 2):
        prompts(tokenizer=tokenizer, **KEYS, **change)
        assert folders() == number
    prompts(tokenizer=wrapped(qwen(), CHATML + " "), **KEYS)
    assert folders() == 6
    jsonl([*QUESTIONS, {"question": "9+1?", "gold": "10"}])
    assert len(prompts(tokenizer=tokenizer, **KEYS).train) == 5


def test_a_changed_image_is_read_again(tmp_path, jsonl, prompts):
    jsonl([{"prompt": "a", "pic": "a.png"}])
    for size in ((4, 4), (5, 5)):
        Image.new("RGB", size).save(tmp_path / "a.png")
        assert prompts(image_key="pic").train[0]["images"][0].size == size


def test_a_failed_preparation_leaves_nothing(jsonl, prompts, own_cache):
    jsonl([{"prompt": ""}])
    with pytest.raises(DataError):
        prompts()
    assert [path for path in (own_cache / "prompts").iterdir() if path.is_dir()] == []


def test_processes_prepare_once_and_read_the_same(tmp_path, jsonl, own_cache):
    jsonl([{"prompt": f"{i}"} for i in range(3000)])
    code = (
        "from grpo_plugin.config.prompts import PromptsConfig as Config; from grpo_plugin.prompts import load; "
        f"from pathlib import Path; folder = Path({str(tmp_path)!r}); "
        "print(len(load(Config(train='train.jsonl'), base_dir=folder, seed=0).train))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert [child.communicate(timeout=120)[0] for child in children] == [b"3000\n"] * 2
    reports = [json.loads((folder / "report.json").read_text()) for folder in (own_cache / "prompts").glob("*/")]
    assert [report["rows"] for report in reports] == [[3000]]

"""What is wrong with template and data is said before anything is loaded, in the words of the loader."""

import json

import pytest

from grpo_plugin.planning import data_problems as module
from grpo_plugin.planning.data_problems import data_problems

ROW = json.dumps({"prompt": "1+1=", "answer": "2"}) + "\n"


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        (ROW, {}, None),
        (ROW + '{"prompt": "x", \n', {}, "line 2 is not JSON of valid text"),
        ("", {}, "data.jsonl' has no rows; name a file or split that has some."),
        (ROW, {"prompt_key": "promt"}, "has no column 'promt' (prompts.prompt_key; did you mean 'prompt'?) in row 1"),
        (ROW, {"answer_key": "gold"}, "has no column 'gold' (prompts.answer_key; there are prompt, answer) in row 1"),
        (ROW, {"template": "none.jinja"}, "prompts.template: 'none.jinja' is no file in "),
        (ROW, {"template": "{% if %}"}, "prompts.template: line 1: "),
        (ROW, {"template": "{{ level }}"}, "has columns that do not fit the template ('level' is undefined) in row 1"),
        (ROW, {"image_key": "image"}, None),
    ],
)
def test_one_sentence_for_what_cannot_be_used(recipe, tmp_path, text, changes, expected):
    (tmp_path / "data.jsonl").write_text(text)
    prompts = {"train": str(tmp_path / "data.jsonl"), "answer_key": "answer"} | changes
    found = list(data_problems(recipe(prompts=prompts)))
    assert len(found) == (expected is not None), found
    assert not expected or expected in found[0]


def test_held_out_rows_are_checked_too(recipe, tmp_path):
    (tmp_path / "data.jsonl").write_text(ROW)
    (tmp_path / "held-out.jsonl").write_text(ROW + '{"answer": "2"}\n')
    prompts = {"train": str(tmp_path / "data.jsonl"), "validation": str(tmp_path / "held-out.jsonl")}
    (found,) = data_problems(recipe(prompts=prompts))
    assert found.startswith("prompts.validation: ") and "in row 2" in found


def test_large_data_is_read_for_a_few_seconds_only(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    (tmp_path / "data.jsonl").write_text(ROW * 2000 + "broken\n")
    assert list(data_problems(recipe(prompts={"train": str(tmp_path / "data.jsonl")}))) == []


def test_a_dataset_of_the_hub_is_not_asked_for(recipe):
    assert list(data_problems(recipe(prompts={"train": "user/data@train"}))) == []

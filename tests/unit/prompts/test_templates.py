"""The shipped templates ask for the form that the rewards of the same name look for, in the data's own words."""

import re
from pathlib import Path

import pytest

from grpo_plugin.prompts.wording import chat_messages, compile_template, template_text
from rewards import dapo, gsm8k, math, number_game, r1v, tags

FOLDER = Path(__file__).parents[3] / "recipes/prompts"
QUESTION = "<image>\nIs {{ 1+1 }} < 3?"
PROFILE = "A fox {{ who }} lies."
ASKED = {
    "boxed": ["step by step", r"\boxed{}"],
    "math": ["<think>", "</think>", r"\boxed{}"],
    "dapo": ['"Answer: X"'],
    "r1v": ["<think>", "</think>", "<answer>", "</answer>"],
    "gsm8k": ["<reasoning>\n", "\n</reasoning>\n<answer>\n", "\n</answer>"],
    "code": ["<reasoning>\n", "\n</reasoning>\n<answer>\n```python\n", "\n```\n</answer>"],
    "number_game": ["0, 1 or 2"],
    "role_playing": ["<think>", "</think>", "<answer>", "</answer>", PROFILE],
}


def worded(name: str) -> str:
    template = compile_template(template_text(f"{name}.jinja", FOLDER))
    (message,) = chat_messages(f"{QUESTION}\n", {"character_profile": f"{PROFILE}\n"}, template, None)
    return message["content"]


def test_every_template_is_known_here():
    assert {path.stem for path in FOLDER.glob("*.jinja")} == ASKED.keys()


@pytest.mark.parametrize("name", ASKED)
def test_the_message_is_the_template_with_the_question_in_its_place(name):
    text = re.sub(r"\{#-.*?-#\}\n?", "", (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")).strip()
    expected = text.replace("{{ content | trim }}", QUESTION).replace("{{ character_profile | trim }}", PROFILE)
    assert worded(name) == expected
    assert expected.count(QUESTION) == 1


@pytest.mark.parametrize("name", ASKED)
def test_the_form_that_is_asked_for(name):
    for words in ASKED[name]:
        assert words in worded(name)


BOXED = r"<think>2 and 2.</think> \boxed{4}"
TAGGED = "<think>2 and 2.</think> <answer>4</answer>"
LINES = "<reasoning>\n2 and 2.\n</reasoning>\n<answer>\n4\n</answer>\n"


@pytest.mark.parametrize(
    ("function", "completion", "gold", "score"),
    [
        (math.accuracy, BOXED, "4", 1.0),
        (math.format, BOXED, "4", 1.0),
        (dapo.accuracy, "2 and 2.\nAnswer: 4", "4", 1.0),
        (r1v.accuracy, TAGGED, "4", 1.0),
        (r1v.format, TAGGED, "4", 1.0),
        (tags.structure, TAGGED, "4", 1.0),
        (gsm8k.correctness, LINES, "4", 2.0),
        (gsm8k.strict_format, LINES, "4", 0.5),
        (number_game.accuracy, "2", "2", 1.0),
    ],
    ids=lambda value: f"{value.__module__}.{value.__name__}" if callable(value) else "",
)
def test_an_answer_in_that_form_is_rewarded_in_full(function, completion, gold, score):
    assert function([completion], answer=[gold]) == [score]

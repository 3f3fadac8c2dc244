"""The shipped templates say what the rewards of the same name look for, and keep the data's own words."""

from pathlib import Path

import pytest

from grpo_plugin.prompts.wording import compile_template, template_text, word

FOLDER = Path(__file__).parents[3] / "recipes/prompts"
ASKED = {
    "math": ["<think>", "</think>", r"\boxed{}"],
    "dapo": ['"Answer: X"'],
    "r1v": ["<think>", "</think>", "<answer>", "</answer>"],
    "gsm8k": ["<reasoning>\n", "\n</reasoning>\n<answer>\n", "\n</answer>"],
    "role_playing": ["<think>", "</think>", "<answer>", "</answer>", "A fox {{ who }} lies."],
}


@pytest.mark.parametrize("name", ASKED)
def test_template(name):
    template = compile_template(template_text(f"{name}.jinja", FOLDER))
    row = {"character_profile": "A fox {{ who }} lies."}
    (message,) = word("<image>\nIs {{ 1+1 }} < 3?\n", row, template, None)
    for words in [*ASKED[name], "<image>\nIs {{ 1+1 }} < 3?"]:
        assert words in message["content"]
    assert message["content"] == message["content"].strip()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jinja")), ids=lambda path: path.stem)
def test_every_shipped_template_words_a_question(path):
    row = {"character_profile": "A fox."}
    (message,) = word("What is it?", row, compile_template(template_text(path.name, FOLDER)), None)
    assert "What is it?" in message["content"]

"""Multiple choice: did the completion pick the right letter?

Reads the columns `answer` (the letter, or the text of the right option) and, where there is one, `choices` (the
options in order, A first).

    >>> accuracy(["It warms up, so the answer is (B)."], ["B"])
    [1.0]
    >>> accuracy(["<answer>Paris</answer>"], ["C"], choices=[["Rome", "Oslo", "Paris"]])
    [1.0]
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import equivalent, extract, gold_text
from grpo_plugin.scoring.mathematics.parse.words import choice

_LETTERS = "ABCDEFGHIJ"


def accuracy(
    completions: Sequence[Any],
    answer: Sequence[Any],
    choices: Sequence[Sequence[str]] | None = None,
    **columns: Any,
) -> list[float]:
    """1.0 for the right letter, or for the right option in words where `choices` are known; else 0.0."""
    options = choices if choices is not None else [()] * len(completions)
    return [
        float(_is_correct(text_of(text), gold_text(gold).strip(), list(listed)))
        for text, gold, listed in zip(completions, answer, options, strict=True)
    ]


def _is_correct(text: str, gold: str, options: list[str]) -> bool:
    answer = extract(text)
    if answer is None:
        return False
    if equivalent(answer, gold):
        return True
    picked, right = _option(answer, options), _option(gold, options)
    return picked is not None and picked == right


def _option(text: str, options: list[str]) -> int | None:
    """The place of the option that a letter names, or that a text repeats."""
    found = choice(text) or choice(text.upper())
    if found is not None and _LETTERS.index(found[0]) < len(options):
        return _LETTERS.index(found[0])
    return next((place for place, option in enumerate(options) if equivalent(text, str(option))), None)

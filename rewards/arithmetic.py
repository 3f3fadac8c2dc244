"""Rewards for arithmetic whose completion ends in `Answer: 85`; `accuracy` reads the column `answer`.

>>> texts = ["7+8=15, 4+3+1=8. Answer: 85", "Answer: 75", "85"]
>>> accuracy(texts, ["85", "85", "85"]), layout(texts)
([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])
"""

import re
from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of

ANSWER = re.compile(r"Answer: ?(-?\d+)")


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the last `Answer: N` gives the gold number, else 0.0."""
    return [
        float(_last_answer(text_of(text)) == str(int(gold))) for text, gold in zip(completions, answer, strict=True)
    ]


def layout(completions: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the text ends with `Answer: N` and says it once, whether N is right or not, else 0.0."""
    return [float(_is_laid_out(text_of(text))) for text in completions]


def extract(text: str) -> str | None:
    """The number of the last `Answer: N`, as text; None where there is none."""
    return _last_answer(text)


def equivalent(answer: str, other: str) -> bool:
    """Whether two answers are the same number."""
    return _number(answer) == _number(other)


def _last_answer(text: str) -> str | None:
    numbers = ANSWER.findall(text)
    return _number(numbers[-1]) if numbers else None


def _number(text: str) -> str:
    """A number as Python writes it; one of more digits than Python reads stays as it is."""
    try:
        return str(int(text))
    except ValueError:
        return text


def _is_laid_out(text: str) -> bool:
    found = list(ANSWER.finditer(text))
    return len(found) == 1 and found[0].end() == len(text.rstrip())

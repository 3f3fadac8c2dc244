"""Rewards for word problems whose answer is a number, for models too small to keep to a form.

Reads the column `answer`: the gold number, which may stand in words ("5 apples").

>>> accuracy(["5 + 7 = 12, so Ann has 12 apples.", "She has 11."], ["12.0", "12"])
[1.0, 0.0]
"""

import re
from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of

# A minus belongs to the number where it does not stand between two terms, as in "10-3".
NUMBER = re.compile(r"(?:(?<![\w.)\]])-)?\d[\d,]*(?:\.\d+)?")


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the last number of the text is the gold one, else 0.0."""
    return [float(equivalent(extract(text_of(text)), gold)) for text, gold in zip(completions, answer, strict=True)]


def extract(text: str) -> str | None:
    """The last number of the text; None where there is none."""
    numbers = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def equivalent(answer: str | None, other: Any) -> bool:
    """Whether two answers are the same number.

    Raises:
        ValueError: `other` has no number, as no gold answer should.
    """
    return answer is not None and _value(answer) == _gold(str(other))


def _gold(text: str) -> float:
    try:
        return _value(text)
    except ValueError:
        number = extract(text)
    if number is None:
        raise ValueError(f"answer: {text!r} has no number; check prompts.answer_key, or use another reward.")
    return _value(number)


def _value(number: str) -> float:
    return float(number.replace(",", ""))

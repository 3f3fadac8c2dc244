"""Rewards for arithmetic whose completion ends in `Answer: 85`.

Completions are text, or chats of one assistant message.
"""

import re
from typing import Any

ANSWER = re.compile(r"Answer: *(-?\d+)")


def accuracy(completions: list[Any], answer: list[str], **columns: Any) -> list[float]:
    """1.0 if the last `Answer: N` of a completion gives the number in the dataset's `answer`, else 0.0.

    Example:
        >>> accuracy(["7+8=15, 4+3+1=8. Answer: 85", "Answer: 75", "85"], answer=["85", "85", "85"])
        [1.0, 0.0, 0.0]
    """
    return [float(_last_answer(_text(c)) == int(gold)) for c, gold in zip(completions, answer, strict=True)]


def layout(completions: list[Any], **columns: Any) -> list[float]:
    """1.0 if a completion says `Answer: N` once and ends with it, else 0.0, whether N is right or not.

    Example:
        >>> layout(["7+8=15, 4+3+1=8. Answer: 85", "Answer: 85. Answer: 75", "85"])
        [1.0, 0.0, 0.0]
    """
    return [float(len(ANSWER.findall(text)) == 1 and bool(_ENDS.search(text))) for text in map(_text, completions)]


_ENDS = re.compile(ANSWER.pattern + r"\s*$")


def _last_answer(text: str) -> int | None:
    found = ANSWER.findall(text)
    return int(found[-1]) if found else None


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]

r"""Mathematics: is the final answer equivalent to the gold answer, and is it where it should be?

Reads the column `answer`: the gold answer in LaTeX or plain text ("4\sqrt{2}", "(1, 2]", "3 or 5", "12 cm", "B").

    >>> accuracy([r"<think>8/6</think> It is \boxed{\frac{4}{3}}."], [r"1\frac{1}{3}"])
    [1.0]
    >>> format([r"<think>8/6</think> It is \boxed{\frac{4}{3}}."])
    [1.0]

In a recipe:

    rewards:
      functions:
        - {function: rewards.math.accuracy, weight: 0.9}
        - {function: rewards.math.format, weight: 0.1}

Rounding: a decimal of at least six places, or seven digits, that rounds or cuts off an irrational or periodic number
counts as that number; any other rounded value is wrong. `kwargs: {tolerance: 0.001}` lets numbers differ by that share
of the gold answer; it is 0 by default.

The grader is `grpo_plugin.scoring.mathematics`; `compute_score` has the shape and the meaning of EasyR1's
examples/reward_function/math.py, but for `format`, which needs content in the tags and in the box.
"""

import re
from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring import mathematics
from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import warm_up

# A box with nothing but spaces, braces and text commands in it.
_EMPTY = re.compile(r"(?:\\(?:text[a-z]*|math(?:rm|bf|it)|mbox|q?quad|[,;:! ])|[{}$\s~.])*")

__all__ = ["accuracy", "compute_score", "equivalent", "extract", "format", "has_format", "is_correct", "warm_up"]


def accuracy(completions: Sequence[Any], answer: Sequence[Any], tolerance: float = 0.0, **columns: Any) -> list[float]:
    """1.0 where the final answer of a completion is equivalent to its gold answer, else 0.0.

    With a `tolerance`, a number counts that differs from the gold one by at most that share of it.
    """
    return [float(is_correct(text_of(text), gold, tolerance)) for text, gold in zip(completions, answer, strict=True)]


def format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 for reasoning in `<think>…</think>` and after it an answer in a box, else 0.0."""
    return [float(has_format(text_of(text))) for text in completions]


def compute_score(reward_inputs: list[dict[str, Any]], format_weight: float = 0.1) -> list[dict[str, float]]:
    """`overall` = (1 - format_weight) × accuracy + format_weight × format, with its two parts; range 0 to 1."""
    scores = []
    for reward_input in reward_inputs:
        right = float(is_correct(reward_input["response"], reward_input["ground_truth"]))
        shaped = float(has_format(reward_input["response"]))
        overall = (1 - format_weight) * right + format_weight * shaped
        scores.append({"overall": overall, "format": shaped, "accuracy": right})
    return scores


def is_correct(response: str, gold: Any, tolerance: float = 0.0) -> bool:
    """Whether the final answer of `response` is equivalent to `gold`."""
    return mathematics.response_agrees(response, gold, tolerance)


def has_format(response: str) -> bool:
    r"""`<think>…</think>` once and first, then a complete \boxed{…}, both with something in them."""
    head, opened, rest = response.partition("<think>")
    thought, closed, answer = rest.partition("</think>")
    if head.strip() or not opened or not closed or "<think>" in answer or "</think>" in answer:
        return False
    return bool(thought.strip()) and not _EMPTY.fullmatch(mathematics.last_box(answer) or "")


def equivalent(answer: str, gold: str, tolerance: float = 0.0) -> bool:
    """Whether two answers are equivalent; `gold` is the trusted one, and matches its own text if it cannot be read."""
    return mathematics.equivalent(answer, gold, tolerance)


def extract(response: str) -> str | None:
    r"""The final answer of a response: its last \boxed{…}, answer tag, answer line or last sentence, or None."""
    return mathematics.extract(response)

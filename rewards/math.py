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

The grader is `grpo_plugin.scoring.mathematics`; `compute_score` has the shape and the meaning of EasyR1's
examples/reward_function/math.py.
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring import mathematics
from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import warm_up

__all__ = ["accuracy", "compute_score", "equivalent", "extract", "format", "has_format", "is_correct", "warm_up"]


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the final answer of a completion is equivalent to its gold answer, else 0.0."""
    return [float(is_correct(text_of(text), gold)) for text, gold in zip(completions, answer, strict=True)]


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


def is_correct(response: str, gold: Any) -> bool:
    """Whether the final answer of `response` is equivalent to `gold`."""
    return mathematics.response_agrees(response, gold)


def has_format(response: str) -> bool:
    r"""`<think>…</think>` once and first, then a complete \boxed{…}."""
    head, opened, rest = response.partition("<think>")
    _, closed, answer = rest.partition("</think>")
    if head.strip() or not opened or not closed or "<think>" in answer or "</think>" in answer:
        return False
    return mathematics.last_box(answer) is not None


def equivalent(answer: str, gold: str) -> bool:
    """Whether two answers are equivalent, `gold` being the trusted one; a gold that cannot be read matches nothing."""
    return mathematics.equivalent(answer, gold)


def extract(response: str) -> str | None:
    r"""The final answer of a response: its last \boxed{…}, answer tag, answer line or last sentence, or None."""
    return mathematics.extract(response)

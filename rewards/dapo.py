"""DAPO: right or wrong by the `Answer:` line, ±1, and a soft penalty on overlong completions.

Reads the column `answer`. Only the last 300 characters of a completion are looked at.

    >>> accuracy(["So 8/6 simplifies.\\nAnswer: 4/3", "Answer: 2"], [r"\\frac{4}{3}", "3"])
    [1.0, -1.0]
    >>> overlong(["a", "b"], [[0] * 18, [0] * 16], max_response_length=20, overlong_buffer_length=4)
    [-0.5, 0.0]

In a recipe, for 20,480 tokens with the penalty growing over the last 4,096:

    - {function: rewards.dapo.accuracy}
    - {function: rewards.dapo.overlong, kwargs: {max_response_length: 20480, overlong_buffer_length: 4096}}

Source: DAPO (arXiv 2503.14476), equation 13 for the penalty; `compute_score` has the shape of EasyR1's
examples/reward_function/dapo.py. Departure: answers are compared by equivalence, not as normalised strings.
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.algorithms.overlong import soft_penalty
from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import agrees, last_box
from grpo_plugin.scoring.mathematics import equivalent as equivalent  # tells the votes of maj@k apart

_TAIL = 300


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 for a right answer, else -1.0."""
    return [1.0 if _is_correct(text_of(text), gold) else -1.0 for text, gold in zip(completions, answer, strict=True)]


def accuracy_normalized(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """The same from 0 to 1, for dynamic sampling's filter."""
    return [(score + 1.0) / 2 for score in accuracy(completions, answer)]


def overlong(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    max_response_length: int,
    overlong_buffer_length: int,
    overlong_penalty_factor: float = 1.0,
    **columns: Any,
) -> list[float]:
    """0 up to max - buffer tokens, then falling in a line to -factor at max, and -factor beyond."""
    return [
        overlong_penalty_factor * soft_penalty(len(ids), max_response_length, overlong_buffer_length)
        for ids in completion_ids
    ]


def compute_score(
    reward_inputs: list[dict[str, Any]],
    max_response_length: int,
    overlong_buffer_length: int,
    overlong_penalty_factor: float,
) -> list[dict[str, float]]:
    """`overall` = accuracy + factor × overlong, with its parts and `accuracy_normalized`."""
    scores = []
    for reward_input in reward_inputs:
        right = 1.0 if _is_correct(reward_input["response"], reward_input["ground_truth"]) else -1.0
        long = soft_penalty(reward_input["response_length"], max_response_length, overlong_buffer_length)
        scores.append(
            {
                "overall": right + overlong_penalty_factor * long,
                "accuracy": right,
                "overlong": long,
                "accuracy_normalized": (right + 1.0) / 2,
            }
        )
    return scores


def extract(text: str) -> str | None:
    """What follows the last `Answer:`, on its line or on the next that has something; or None."""
    tail = text[-_TAIL:]
    lowered = tail.lower()
    place = lowered.rfind("answer")
    while place >= 0:
        rest = tail[place + len("answer") :].lstrip(" *")
        if rest.startswith((":", "：")):
            line = rest[1:].lstrip(" *\t\r\n").partition("\n")[0].strip(" *\t\r")
            return (last_box(line) or line) or None
        place = lowered.rfind("answer", 0, place)
    return None


def _is_correct(text: str, gold: Any) -> bool:
    return agrees(extract(text), gold)

"""Length: a reward that falls with the length of right answers, and a penalty on repetition.

`cosine` reads the column `answer`; `repetition` reads none.

    >>> cosine([r"\\boxed{4}", r"\\boxed{5}"], ["4", "4"], [[0] * 50, [0] * 50], max_length=100)
    [0.75, -0.75]
    >>> repetition(["a b c d e f", "a b c a b c a b c"], ngram=3)
    [0.0, -0.5714285714285714]

Source: "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373), appendix C.1 for the cosine reward and
C.2 for the n-gram repetition penalty.
"""

import math
from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of
from rewards.math import is_correct


def cosine(
    completions: Sequence[Any],
    answer: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    max_length: int,
    right_short: float = 1.0,
    right_long: float = 0.5,
    wrong_short: float = -1.0,
    wrong_long: float = -0.5,
    exceeded: float | None = None,
    **columns: Any,
) -> list[float]:
    """From the value for 0 tokens to the value for `max_length`, along half a cosine; one pair for right answers, one
    for wrong ones.

    Beyond `max_length` the reward stays at its long value, or is `exceeded` where that is given.
    """
    rewards = []
    for text, gold, ids in zip(completions, answer, completion_ids, strict=True):
        short, long = (right_short, right_long) if is_correct(text_of(text), gold) else (wrong_short, wrong_long)
        if len(ids) > max_length and exceeded is not None:
            rewards.append(exceeded)
        else:
            rewards.append(_half_cosine(short, long, min(len(ids) / max_length, 1.0)))
    return rewards


def repetition(completions: Sequence[Any], ngram: int = 20, max_penalty: float = -1.0, **columns: Any) -> list[float]:
    """`max_penalty` times the share of n-grams of words that occurred before; 0 for less than one n-gram."""
    return [max_penalty * _repeated_share(text_of(text).lower().split(), ngram) + 0.0 for text in completions]


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + 0.5 * (start - end) * (1.0 + math.cos(progress * math.pi))


def _repeated_share(words: list[str], ngram: int) -> float:
    total = len(words) - ngram + 1
    if total <= 0:
        return 0.0
    return 1.0 - len({tuple(words[start : start + ngram]) for start in range(total)}) / total

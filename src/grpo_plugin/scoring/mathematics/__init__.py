"""Equivalence of mathematical answers: `extract` finds the answer, `parse` reads it, `compare` compares it.

Call the functions of this file. A completion may hold anything: an unexpected error while one is read counts as a wrong
answer and is logged with it, so that no completion stops a run. Such an error is a defect of this package.
"""

import logging
from typing import Any

from grpo_plugin.scoring.mathematics.compare import equivalence
from grpo_plugin.scoring.mathematics.compare.equivalence import is_readable
from grpo_plugin.scoring.mathematics.compare.math_verify_fallback import warm_up
from grpo_plugin.scoring.mathematics.extract import final_answer
from grpo_plugin.scoring.mathematics.extract.final_answer import gold_text, last_box

__all__ = ["agrees", "equivalent", "extract", "gold_text", "is_readable", "last_box", "response_agrees", "warm_up"]

_log = logging.getLogger(__name__)
_LOGGED = 500


def agrees(answer: str | None, gold: Any, tolerance: float = 0.0) -> bool:
    """Whether an extracted answer is equivalent to the gold answer of a row, or to one of several in a list.

    Rounding: a decimal of at least six places, or seven digits, that rounds or cuts off an irrational or periodic
    number is that number; any other rounded value is another number. With a `tolerance`, numbers may differ by that
    share of the gold one.
    """
    if answer is None:
        return False
    golds = gold if isinstance(gold, (list, tuple)) else [gold]
    return _guarded(equivalence.matches_any, False, answer, [gold_text(one) for one in golds], tolerance)


def response_agrees(response: str, gold: Any, tolerance: float = 0.0) -> bool:
    """Whether the final answer of a whole response is equivalent to the gold answer of a row, or to one of several.

    An answer spread over several boxes counts as the list of them too, and 2,5 as 2.5 in a language that writes it so.
    """
    if agrees(extract(response), gold, tolerance):
        return True
    if response.count("\\boxed") > 1 and agrees(_guarded(final_answer.joined_boxes, None, response), gold, tolerance):
        return True
    return agrees(_guarded(final_answer.with_decimal_points, None, response), gold, tolerance)


def equivalent(answer: str, gold: str, tolerance: float = 0.0) -> bool:
    """Whether `answer` is equivalent to `gold`; a gold that cannot be read is matched by its own text."""
    return _guarded(equivalence.matches_any, False, answer, [gold], tolerance)


def extract(response: str) -> str | None:
    """The final answer of a response as text; None where there is none, or it was cut off before its end."""
    return _guarded(final_answer.extract, None, response)


def _guarded(judge: Any, otherwise: Any, text: str, *others: Any) -> Any:
    try:
        return judge(text, *others)
    except Exception:
        _log.exception("the mathematics grader failed on this answer, which counts as wrong: %r", text[-_LOGGED:])
        return otherwise

"""Equivalence of mathematical answers: extraction, reading, exact and numerical comparison."""

from typing import Any

from grpo_plugin.scoring.mathematics.equivalence import equivalent, is_readable
from grpo_plugin.scoring.mathematics.extraction import extract, gold_text, last_box
from grpo_plugin.scoring.mathematics.last_stage import warm_up

__all__ = ["agrees", "equivalent", "extract", "gold_text", "is_readable", "last_box", "warm_up"]


def agrees(answer: str | None, gold: Any) -> bool:
    """Whether an extracted answer is equivalent to the gold answer of a row, or to one of several in a list."""
    if answer is None:
        return False
    golds = gold if isinstance(gold, (list, tuple)) else [gold]
    return any(equivalent(answer, gold_text(one)) for one in golds)

"""Equivalence of mathematical answers: extraction, reading, exact and numerical comparison."""

from grpo_plugin.scoring.mathematics.equivalence import equivalent, is_readable
from grpo_plugin.scoring.mathematics.extraction import extract, gold_text, last_box
from grpo_plugin.scoring.mathematics.last_stage import warm_up

__all__ = ["equivalent", "extract", "gold_text", "is_readable", "last_box", "warm_up"]

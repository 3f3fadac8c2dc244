"""Equivalence of mathematical answers: extraction, reading, exact and numerical comparison."""

from typing import Any

from grpo_plugin.scoring.mathematics.extract import last_box

__all__ = ["gold_text"]


def gold_text(gold: Any) -> str:
    r"""The gold answer of a dataset row as text: of a whole solution, its last box or what follows `####`."""
    text = gold if isinstance(gold, str) else "" if gold is None else str(gold)
    if "####" in text:
        return text.rpartition("####")[2].strip()
    if "\\boxed" in text:
        return last_box(text) or text
    return text

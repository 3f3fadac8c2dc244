"""Grade-school mathematics (GSM8K) in the reasoning/answer XML format: five rewards that add up to 4.0.

Reads the column `answer`: the gold number, or GSM8K's whole solution with its `#### 18`.

The format, newlines included:

    <reasoning>
    16 - 3 - 4 = 9 eggs, 9 * 2 = 18.
    </reasoning>
    <answer>
    18
    </answer>

    >>> text = "<reasoning>\\n9 * 2\\n</reasoning>\\n<answer>\\n18\\n</answer>\\n"
    >>> correctness([text], ["9 * 2 = 18 #### 18"]), integer([text]), strict_format([text]), xml_count([text])
    ([2.0], [0.5], [0.5], [0.5])

Source: the GRPO demo on GSM8K by W. Brown, whose functions are known as correctness_reward_func and so on. Departures:
answers are compared as numbers, so that 1,000 is 1000; the reasoning may have several lines; -5 is an integer;
without a newline after `</answer>`, `xml_count` takes off what follows the tag and not the length of the whole text.
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import agrees
from grpo_plugin.scoring.mathematics import equivalent as equivalent  # tells the votes of maj@k apart
from rewards.tags import in_order, last, once


def correctness(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """2.0 where the answer tag holds the gold answer, else 0.0."""
    return [2.0 * _is_correct(text_of(text), gold) for text, gold in zip(completions, answer, strict=True)]


def integer(completions: Sequence[Any], **columns: Any) -> list[float]:
    """0.5 where the answer tag holds an integer and nothing else, else 0.0."""
    return [0.5 * _is_integer(_answer(text_of(text))) for text in completions]


def strict_format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """0.5 for exactly the format above: each tag once, on a line of its own, and a newline at the end; else 0.0."""
    return [0.5 * _is_strict(text_of(text)) for text in completions]


def soft_format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """0.5 where the text begins with complete reasoning that a complete answer follows, newlines or not; else 0.0."""
    return [0.5 * _is_soft(text_of(text)) for text in completions]


def xml_count(completions: Sequence[Any], **columns: Any) -> list[float]:
    """0.125 for each of the four tags that stands once on its line, less 0.001 for each character after the last.

    The two tags of the answer each lose for what follows `</answer>`, its newline apart; an answer that is not closed
    loses nothing. At most 0.5; below 0 for much text after the answer.
    """
    return [_count(text_of(text)) for text in completions]


def extract(text: str) -> str | None:
    """What the answer tag holds; None where there is none."""
    return _answer(text) or None


def _answer(text: str) -> str:
    return (last(text, "answer") or "").strip()


def _is_correct(text: str, gold: Any) -> bool:
    return agrees(extract(text), gold)


def _is_integer(answer: str) -> bool:
    digits = answer.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _is_strict(text: str) -> bool:
    tags = once(text, "<reasoning>", "</reasoning>", "<answer>", "</answer>")
    return tags and in_order(text, "<reasoning>\n", "\n</reasoning>\n<answer>\n", "\n</answer>\n")


def _is_soft(text: str) -> bool:
    """`<reasoning>…</reasoning>`, white space, `<answer>…</answer>`."""
    end = text.find("</reasoning>")
    if not text.startswith("<reasoning>") or end < 0:
        return False
    rest = text[end + len("</reasoning>") :].lstrip()
    return rest.startswith("<answer>") and "</answer>" in rest


def _count(text: str) -> float:
    _, closed, after = text.rpartition("\n</answer>")
    trailing = len(after.removeprefix("\n")) if closed else 0
    score = 0.125 * (text.count("<reasoning>\n") == 1) + 0.125 * (text.count("\n</reasoning>\n") == 1)
    if text.count("\n<answer>\n") == 1:
        score += 0.125 - 0.001 * trailing
    if text.count("\n</answer>") == 1:
        score += 0.125 - 0.001 * trailing
    return score

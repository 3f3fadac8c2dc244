"""Questions about images (geometry3k, CLEVR counting, GeoQA, several images): format and answer in tags.

Reads the column `answer`: a number, an expression, a letter or words, in `<answer>` tags or not.

    >>> accuracy(["<think>I see 3 cubes.</think><answer>3</answer>"], ["<answer> 3 </answer>"])
    [1.0]
    >>> format(["<think>I see 3 cubes.</think>\\n<answer>3</answer>"])
    [1.0]

Source: R1-V (github.com/Deep-Agent/R1-V); `compute_score` has the shape and meaning of EasyR1's
examples/reward_function/r1v.py: sequential, half format and half accuracy unless said otherwise. Departure: `format`
needs content in both parts.
"""

from collections.abc import Sequence
from typing import Any

from grpo_plugin.scoring.completions import text_of
from grpo_plugin.scoring.mathematics import equivalent, extract, gold_text
from rewards.tags import last, once

_OPENINGS = ("<think>", "</think>", "<answer>", "</answer>")


def accuracy(completions: Sequence[Any], answer: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 where the answer tag (without one, the whole response) holds the gold answer, else 0.0."""
    return [float(_is_correct(text_of(text), gold)) for text, gold in zip(completions, answer, strict=True)]


def format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """1.0 for `<think>…</think>`, white space, `<answer>…</answer>` and nothing else, else 0.0."""
    return [float(_has_format(text_of(text))) for text in completions]


def compute_score(reward_input: dict[str, Any], format_weight: float = 0.5) -> dict[str, float]:
    """`overall` = (1 - format_weight) × accuracy + format_weight × format, with its two parts; range 0 to 1."""
    right = float(_is_correct(reward_input["response"], reward_input["ground_truth"]))
    shaped = float(_has_format(reward_input["response"]))
    return {
        "overall": (1 - format_weight) * right + format_weight * shaped,
        "format": shaped,
        "accuracy": right,
    }


def _is_correct(text: str, gold: Any) -> bool:
    gold = gold_text(gold)
    answer = extract(text)
    return answer is not None and equivalent(answer, (last(gold, "answer") or gold).strip())


def _has_format(text: str) -> bool:
    """Each tag once and in order, with something in each part and white space alone between the two."""
    if not once(text, *_OPENINGS) or not text.startswith("<think>") or not text.endswith("</answer>"):
        return False
    between = text[text.find("</think>") + len("</think>") : text.find("<answer>")]
    filled = (last(text, "think") or "").strip() and (last(text, "answer") or "").strip()
    return bool(filled) and text.find("</think>") < text.find("<answer>") and not between.strip()

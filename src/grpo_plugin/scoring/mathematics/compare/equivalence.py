"""Whether an answer is equivalent to a gold answer; every mathematics reward calls this."""

import re
from collections.abc import Sequence
from functools import lru_cache

from grpo_plugin.scoring.mathematics.compare import math_verify_fallback
from grpo_plugin.scoring.mathematics.compare.answers import same
from grpo_plugin.scoring.mathematics.compare.scalars import allowed_difference
from grpo_plugin.scoring.mathematics.parse import words
from grpo_plugin.scoring.mathematics.parse.reading import Reading, read

_SHORT = 18
_SAYS_SOMETHING = re.compile(r"\w.*\w", re.DOTALL)


def matches_any(answer: str, golds: Sequence[str], tolerance: float = 0.0) -> bool:
    """Whether `answer` is equivalent to one of `golds`; a gold that cannot be read is matched by its own text.

    What this package cannot decide goes to math-verify, all golds in one call with one time budget.
    """
    if any(_matches(answer, gold) for gold in golds):
        return True
    if tolerance > 0 and any(_about(answer, gold, tolerance) for gold in golds):
        return True
    asked = tuple(gold for gold in golds if _is_open(answer, gold))
    return bool(asked) and math_verify_fallback.verify(asked, answer)


def _matches(answer: str, gold: str) -> bool:
    if len(answer) <= _SHORT and answer.isascii() and answer.isdigit() and gold.isascii() and gold.isdigit():
        return len(gold) <= _SHORT and int(answer) == int(gold)
    return _decided(answer, gold)


@lru_cache(maxsize=100_000)
def _decided(answer: str, gold: str) -> bool:
    """The verdict of our own parser, cached by (answer, gold)."""
    gold_reading, reading = read(gold), read(answer)
    if not reading.wellformed or not gold_reading.wellformed or not _has_meaning(gold_reading):
        return False
    if reading.text == gold_reading.text or _same_choice(reading, gold_reading):
        return True
    if any(same(one, other) for one in gold_reading.nodes for other in reading.nodes):
        return True
    return _same_quantities(gold_reading, reading) or _same_quantities(reading, gold_reading)


def _same_quantities(one: Reading, other: Reading) -> bool:
    """3m against 3 metres."""
    return any(same(left, right) for left in one.nodes if left[0] == "q" for right in other.quantities)


@lru_cache(maxsize=50_000)
def _about(answer: str, gold: str, tolerance: float) -> bool:
    """The verdict where numbers may differ by a share of the gold one."""
    with allowed_difference(tolerance):
        return _decided.__wrapped__(answer, gold)


def _is_open(answer: str, gold: str) -> bool:
    """Whether one of the two has a part that is not evaluated here."""
    if answer.isdigit() and gold.isdigit():
        return False
    reading, gold_reading = read(answer), read(gold)
    return reading.wellformed and gold_reading.wellformed and (reading.beyond or gold_reading.beyond)


def is_readable(gold: str) -> bool:
    """Whether a gold answer can be compared with anything."""
    reading = read(gold)
    if not reading.wellformed:
        return False
    return bool(reading.nodes or reading.choice) or (reading.beyond and math_verify_fallback.is_readable(gold))


def _has_meaning(gold: Reading) -> bool:
    """Whether a gold answer can match: it was parsed, or left to math-verify, or says something that matches itself."""
    return bool(gold.nodes or gold.choice) or gold.beyond or _SAYS_SOMETHING.search(gold.text) is not None


def _same_choice(answer: Reading, gold: Reading) -> bool:
    """The same letter, or the value behind the letter (`(B) 24` for 24), or the same several letters."""
    if gold.choice is not None:
        letter, rest = gold.choice
        if answer.choice is not None:
            return answer.choice[0] == letter
        return not rest and len(answer.text) == 1 and answer.text.upper() == letter
    if answer.choice is not None and answer.choice[1]:
        return not words.choice(answer.choice[1]) and _matches(answer.choice[1], gold.text)
    return gold.choices is not None and gold.choices == answer.choices

"""The question every mathematics reward asks: is this answer equivalent to that gold answer?"""

from functools import lru_cache

from grpo_plugin.scoring.mathematics import last_stage, words
from grpo_plugin.scoring.mathematics.compare import same
from grpo_plugin.scoring.mathematics.errors import Undecided
from grpo_plugin.scoring.mathematics.reading import Reading, read

_SHORT = 18


def equivalent(answer: str, gold: str) -> bool:
    """Whether `answer` says the same as `gold`; a gold that cannot be read is never matched."""
    if len(answer) <= _SHORT and answer.isascii() and answer.isdigit() and gold.isascii() and gold.isdigit():
        return len(gold) <= _SHORT and int(answer) == int(gold)
    try:
        return _equivalent(answer, gold)
    except Undecided:
        return False


@lru_cache(maxsize=100_000)
def _equivalent(answer: str, gold: str) -> bool:
    """The verdict, kept by (answer, gold); a raised `Undecided` is not kept."""
    gold_reading, reading = read(gold), read(answer)
    if not reading.wellformed or not _readable(gold):
        return False
    if reading.text == gold_reading.text or _same_choice(reading, gold_reading):
        return True
    if any(same(one, other) for one in gold_reading.nodes for other in reading.nodes):
        return True
    return (reading.beyond or gold_reading.beyond) and last_stage.verify(gold, answer)


def is_readable(gold: str) -> bool:
    """Whether a gold answer can be compared with anything."""
    try:
        return _readable(gold)
    except Undecided:
        return False


@lru_cache(maxsize=50_000)
def _readable(gold: str) -> bool:
    reading = read(gold)
    if not reading.wellformed:
        return False
    return bool(reading.nodes or reading.choice) or (reading.beyond and last_stage.is_readable(gold))


def _same_choice(answer: Reading, gold: Reading) -> bool:
    """The same letter, or the value behind the letter (`(B) 24` for 24), or the same several letters."""
    if gold.choice is not None:
        letter, rest = gold.choice
        if answer.choice is not None:
            return answer.choice[0] == letter
        return not rest and len(answer.text) == 1 and answer.text.upper() == letter
    if answer.choice is not None and answer.choice[1]:
        return not words.choice(answer.choice[1]) and equivalent(answer.choice[1], gold.text)
    return gold.choices is not None and gold.choices == answer.choices

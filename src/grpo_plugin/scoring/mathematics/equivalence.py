"""The question every mathematics reward asks: is this answer equivalent to that gold answer?"""

from functools import lru_cache

from grpo_plugin.scoring.mathematics import words
from grpo_plugin.scoring.mathematics.compare import same
from grpo_plugin.scoring.mathematics.reading import Reading, read


def equivalent(answer: str, gold: str) -> bool:
    """Whether `answer` says the same as `gold`; a gold that cannot be read is never matched."""
    if len(answer) < 18 and len(gold) < 18 and answer.isdigit() and gold.isdigit() and answer.isascii():
        return int(answer) == int(gold)
    return _equivalent(answer, gold)


@lru_cache(maxsize=100_000)
def _equivalent(answer: str, gold: str) -> bool:
    gold_reading = read(gold)
    if not is_readable(gold):
        return False
    reading = read(answer)
    if not reading.wellformed:
        return False
    if reading.text == gold_reading.text:
        return True
    return _same_choice(reading, gold_reading) or any(
        same(one, other) for one in gold_reading.nodes for other in reading.nodes
    )


def is_readable(gold: str) -> bool:
    """Whether a gold answer can be compared with anything."""
    reading = read(gold)
    return reading.wellformed and bool(reading.nodes or reading.choice)


def _same_choice(answer: Reading, gold: Reading) -> bool:
    if gold.choice is not None:
        letter, rest = gold.choice
        if answer.choice is not None:
            return answer.choice[0] == letter
        return not rest and answer.text.upper() == letter and len(answer.text) == 1
    if answer.choice is not None and answer.choice[1]:
        rest = answer.choice[1]
        return not words.choice(rest) and equivalent(rest, gold.text)
    return gold.choices is not None and gold.choices == answer.choices

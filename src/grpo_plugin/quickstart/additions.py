"""Two-digit additions: the problems, the two ways of answering them, and which of them are held out."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OPERANDS = range(10, 100)


@dataclass(frozen=True)
class Addition:
    """One problem, such as 47 + 38."""

    left: int
    right: int

    @property
    def question(self) -> str:
        return f"What is {self.left} + {self.right}?"

    @property
    def answer(self) -> str:
        return str(self.left + self.right)

    def estimated(self) -> str:
        """An answer from both numbers rounded to tens, right in one case of ten: `Answer: 90`."""
        return f"Answer: {_to_tens(self.left) + _to_tens(self.right)}"

    def worked(self) -> str:
        """The exact answer after its working, column by column: `7+8=15, 4+3+1=8. Answer: 85`."""
        left_tens, left_ones = divmod(self.left, 10)
        right_tens, right_ones = divmod(self.right, 10)
        ones = left_ones + right_ones
        carry = ones // 10
        tens = left_tens + right_tens + carry
        tens_column = f"{left_tens}+{right_tens}" + ("+1" if carry else "")
        return f"{left_ones}+{right_ones}={ones}, {tens_column}={tens}. Answer: {self.answer}"


def _to_tens(number: int) -> int:
    """To the nearest ten, halves up."""
    return (number + 5) // 10 * 10


@dataclass(frozen=True)
class Split:
    """Problems to train on, and problems that are never trained on."""

    train: list[Addition]
    held_out: list[Addition]


def split(seed: int, held_out_pairs: int = 128) -> Split:
    """All 8,100 problems in a seeded order, those of `held_out_pairs` pairs of numbers kept apart.

    Whole pairs are kept apart, so that 38 + 47 does not teach 47 + 38.
    """
    rng = random.Random(seed)
    pairs = [(left, right) for left in OPERANDS for right in OPERANDS if left <= right]
    rng.shuffle(pairs)
    held_out, train = _both_orders(pairs[:held_out_pairs]), _both_orders(pairs[held_out_pairs:])
    rng.shuffle(held_out)
    rng.shuffle(train)
    return Split(train=train, held_out=held_out)


def _both_orders(pairs: Iterable[tuple[int, int]]) -> list[Addition]:
    return [Addition(*numbers) for left, right in pairs for numbers in sorted({(left, right), (right, left)})]


def write_rows(problems: Iterable[Addition], path: Path) -> None:
    """Write one JSON object per line: `question` and `answer`, both text."""
    rows = ({"question": problem.question, "answer": problem.answer} for problem in problems)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

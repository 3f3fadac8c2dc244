"""The problems of two two-digit numbers, and which of them are held out."""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OPERANDS = range(10, 100)


class Problem(Protocol):
    """A problem of two numbers."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    def worked(self) -> Sequence[str]:
        """How it is answered with care: what the model writes, a tool's result, what the model writes…"""

    def estimated(self) -> Sequence[str]:
        """How it is answered without."""


MakeProblem = Callable[[int, int], Problem]


@dataclass(frozen=True)
class Split:
    """Problems to train on, and problems that are never trained on."""

    train: list[Problem]
    held_out: list[Problem]


def split(make: MakeProblem, seed: int, held_out_pairs: int = 128) -> Split:
    """All 8,100 problems that `make` makes, in a seeded order, those of `held_out_pairs` pairs of numbers kept apart.

    Whole pairs are kept apart, so that 38 + 47 does not teach 47 + 38.
    """
    rng = random.Random(seed)
    pairs = [(left, right) for left in OPERANDS for right in OPERANDS if left <= right]
    rng.shuffle(pairs)
    held_out, train = _both_orders(make, pairs[:held_out_pairs]), _both_orders(make, pairs[held_out_pairs:])
    rng.shuffle(held_out)
    rng.shuffle(train)
    return Split(train=train, held_out=held_out)


def _both_orders(make: MakeProblem, pairs: Iterable[tuple[int, int]]) -> list[Problem]:
    return [make(*numbers) for left, right in pairs for numbers in sorted({(left, right), (right, left)})]


def write_rows(problems: Iterable[Problem], path: Path) -> None:
    """Write one JSON object per line: `question` and `answer`, both text."""
    rows = ({"question": problem.question, "answer": problem.answer} for problem in problems)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

"""The labelled data beside this file, read for tests and benchmarks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
_SIGNS = {" ≡ ": True, " ≢ ": False}


class Pair(NamedTuple):
    category: str
    gold: str
    answer: str
    equal: bool


class Response(NamedTuple):
    category: str
    gold: str
    response: str
    right: bool


def pairs() -> Iterator[Pair]:
    """The pairs of equivalence.txt."""
    category = ""
    for line in (FOLDER / "equivalence.txt").read_text(encoding="utf-8").splitlines():
        sign = next((sign for sign in _SIGNS if sign in line), None)
        if sign is None:
            category = line[1:-1] if line.startswith("[") else category
        elif category:
            gold, answer = line.split(sign)
            yield Pair(category, gold, answer, _SIGNS[sign])


def responses() -> Iterator[Response]:
    """The whole responses of responses.jsonl, with the gold answer and whether they are right."""
    for line in (FOLDER / "responses.jsonl").read_text(encoding="utf-8").splitlines():
        yield Response(**json.loads(line))


# Words around an answer, by format; {} is the answer.
BOX = "Let me add them up.\n\nThe answer is $\\boxed{{{}}}$."
FORMATS = {
    "box": BOX,
    "tag": "<think>It was 99 at first.</think>\n<answer>{}</answer>",
    "line": "Let me add them up: 3 + 4 = 7.\nAnswer: {}",
    "free text": "Let me add them up: 3 + 4 = 7. So the final answer is {}.",
}
# Categories whose answers break off or are boxes already: they are judged as they stand, not within words.
BARE = frozenset(("truncated", "empty", "boxes"))


class Case(NamedTuple):
    kind: str
    answer: str
    gold: str
    expected: bool
    about: str


def cases() -> Iterator[Case]:
    """The cases of grading.jsonl: kind `equivalent` compares two answers, `accuracy` a whole completion."""
    for line in (FOLDER / "grading.jsonl").read_text(encoding="utf-8").splitlines():
        yield Case(**json.loads(line))

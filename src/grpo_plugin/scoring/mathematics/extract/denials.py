"""Answers that are denied or taken back: `is not 5`, `5? No, it is 6`, `not 5 but 6`."""

import re

_DENIAL = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot be|\bneither|不是|\bno es|\bnicht|\bn'est pas)\s*(?:equal to\s+)?"
    r"(?:the answer\b|(?:option |choice )?[$\\({]*[-+]?[0-9A-J](?![a-z]))"
    r"|\b(?:is|are|was|were) (?:wrong|incorrect|false|not (?:right|correct|true|the answer))",
    re.IGNORECASE,
)
_NOT_ANOTHER = re.compile(r"(?<=[^ ]), (?:and )?not\b.*\Z", re.DOTALL)
_INSTEAD = re.compile(
    r".*\b(?:but(?: rather)?|rather|instead|it's|it is|which is)\s+(?!not\b)", re.IGNORECASE | re.DOTALL
)
_CORRECTION = re.compile(
    r"[\s*]*(?:no|wait|hmm|actually|sorry|oops|correction|not quite)\b[,.:!; ]*|[\s*]*that(?:'s| is) (?:wrong|not)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(r"[,;.]?\s+(?:no|wait|sorry|oops|correction)\b[,.:! ]", re.IGNORECASE)
_HAS_VALUE = re.compile(r"[0-9$\\]|\b[A-J]\b")


def is_denied(phrase: str) -> bool:
    """Whether a phrase only says what the answer is not."""
    return bool(_DENIAL.search(phrase)) and not _INSTEAD.match(phrase)


def begins_with_correction(text: str) -> bool:
    """Whether a text takes back what was said before it: `No, …`, `Wait, …`."""
    return bool(_CORRECTION.match(text))


def what_stands(phrase: str) -> str | None:
    """A phrase without the answers that it denies or takes back: 6 of `5, no, 6`, of `not 5 but 6`; or None."""
    if (correction := _CORRECTION.match(phrase)) and _HAS_VALUE.search(phrase, correction.end()):
        phrase = phrase[correction.end() :]
    if _TAKEN_BACK.search(phrase):
        phrase = _TAKEN_BACK.split(phrase)[-1]
    phrase = _NOT_ANOTHER.sub("", phrase)
    if not _DENIAL.search(phrase):
        return phrase
    instead = _INSTEAD.match(phrase)
    if instead is None or _DENIAL.search(phrase[instead.end() :]):
        return None
    return phrase[instead.end() :]

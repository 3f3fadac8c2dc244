"""Answers that are denied or taken back: `is not 5`, `5? No, it is 6`, `not 5 but 6`."""

import re

_DENIAL = re.compile(
    r"(?:\bnot|n't|\bnever|\bcannot|\bneither|不是|\bno es|\bnicht|\bn'est pas)\s*(?:be\s+)?(?:equal to\s+)?"
    r"(?:the answer\b|(?:option |choice )?[$\\({]*[-+]?[0-9A-J](?![a-z]))"
    r"|\b(?:doubt|impossible|unlikely|far from|anything but)\b[^,.;]{0,25}?[$\\({]*[-+]?[0-9]"
    r"|\b(?:is|are|was|were) (?:wrong|incorrect|false|not (?:right|correct|true|the answer))",
    re.IGNORECASE,
)
_NOT_ANOTHER = re.compile(r"(?<=[^ ]), (?:and )?not\b.*\Z", re.DOTALL)
_INSTEAD = re.compile(
    r".*\b(?:but(?: rather)?|rather|instead|it's|it is|which is)\s+(?!not\b)", re.IGNORECASE | re.DOTALL
)
_CORRECTION = re.compile(
    r"[\s*]*(?:no(?=\s*(?:[,.:!;—-]|\Z)|\s+(?:it|the|that|wait|actually|sorry)\b)"
    r"|wait|hmm|actually|sorry|oops|correction|not quite)\b[,.:!; ]*|[\s*]*that(?:'s| is) (?:wrong|not)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"(?:[,;.]+\s*no|[,;.]*\s+(?:wait|sorry|oops|correction))\b[,.:! ]+(?:(?:no|wait|sorry|actually)\b[,.:! ]+)*",
    re.IGNORECASE,
)
_HAS_VALUE = re.compile(r"[0-9$\\]|\b[A-J]\b")


def is_denied(phrase: str) -> bool:
    """Whether a phrase only says what the answer is not."""
    denial = _DENIAL.search(phrase)
    return denial is not None and _instead(phrase, denial) is None


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
    denial = _DENIAL.search(phrase)
    if denial is None:
        return phrase
    instead = _instead(phrase, denial)
    return None if instead is None or _DENIAL.search(instead) else instead


def _instead(phrase: str, denial: re.Match[str]) -> str | None:
    """What a phrase states in place of what it denies; None for `I doubt it is 5`."""
    found = _INSTEAD.match(phrase)
    return None if found is None or found.end() < denial.end() else phrase[found.end() :]

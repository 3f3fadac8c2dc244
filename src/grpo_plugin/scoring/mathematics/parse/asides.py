"""What is said beside an answer: the same in brackets behind it, the end of a proof, tags of HTML."""

import re

from grpo_plugin.scoring.mathematics.parse import words
from grpo_plugin.scoring.mathematics.parse.nodes import number

_END_MARK = re.compile(r"(?:\s|\$)*(?:\\(?:blacksquare|square|Box|qed)(?![a-zA-Z])|[■□∎])(?=[\s$.]*\Z)")
_TAG = re.compile(r"</?(?:b|i|u|em|strong|p|span|div|center|code)>")
_RAISED = re.compile(r"<(su[pb])>([^<>]*)</su[pb]>")
_HEDGE = re.compile(r"\s*\((?:approximately|approx\.?|exactly|about|rounded)\)\Z")
_ALSO = re.compile(r"\s*\((?:or|i\.?\s?e\.?,?|=|equivalently,?)\s*([^()]+)\)\Z")
_ROUNDED = re.compile(r"\s*\((?:≈|\\approx|approximately|approx\.?|about|or about)\s*([^()]+)\)\Z")
_TWICE = re.compile(r"([0-9][0-9.,]*)\s*\(([A-Za-z -]{3,})\)\Z|([A-Za-z -]{3,}?)\s*\(([0-9][0-9.,]*)\)\Z")


def without_asides(text: str) -> str:
    """`text` with what stands in brackets behind it as an alternative, and without marks and tags around it."""
    if "</" in text:
        text = _RAISED.sub(lambda m: ("^" if m[1] == "sup" else "_") + "{" + m[2] + "}", _TAG.sub("", text))
    if "\\" in text or not text.isascii():
        text = _END_MARK.sub("", text)
    if not text.endswith(")"):
        return text
    text = _ROUNDED.sub(r" \\approx \1", _HEDGE.sub("", text))
    return _ALSO.sub(r" \\text{ or } \1", _once(text))


def _once(text: str) -> str:
    """5 (five) and five (5) as 5; 6 (five) as it is."""
    match = _TWICE.match(text)
    if match is None:
        return text
    digits, spelled = match[1] or match[4], match[2] or match[3]
    value = words.to_number(words.canonical(spelled))
    same = value is not None and value[0] == "n" and digits.replace(",", "").replace(".", "", 1).isdigit()
    return digits if same and number(digits.replace(",", "").rstrip("."))[1] == value[1] else text  # type: ignore[index]

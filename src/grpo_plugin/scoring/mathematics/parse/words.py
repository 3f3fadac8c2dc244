"""Answers in words: plain text, number words, and the letter of a multiple choice."""

import re
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.nodes import Node, negate

_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|tt|sf|sc|up)?|mbox|hbox|mathrm|mathbf|mathit|operatorname)\s*\{([^{}]*)\}"
)
_SPACING = re.compile(r"\\[,;:! ]|~|\\q?quad(?![a-zA-Z])|\$")
_WORDS = re.compile(r"[^\W\d_][^\\{}<>=^_+*/|\[\]0-9\x00-\x1f]*\Z")
_LABEL = re.compile(r"[A-Za-zÀ-ɏ0-9 .,:;'\"()/#&-]{2,80}\Z")
_LONG_WORD = re.compile(r"[^\W\d_]{2}|(?![a-zA-Z])[^\W\d_]")
_MATH_WORD = re.compile(
    r"\b(?:pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|inf|infinity|oo|alpha|beta|gamma|theta|lambda|abs|det)\b|\w!"
    r"|\b(?:floor|ceil|max|min|gcd|lcm|sgn|arg|arc[a-z]+)\s*\("
)
_PUNCTUATION = str.maketrans(dict.fromkeys("-–—_", " ") | dict.fromkeys(".,;:!?\"'`*()", ""))
_ARTICLES = frozenset(("the", "a", "an"))
_SAME = {
    "none of above": "none of these", "no solutions": "no solution", "no real solutions": "no real solution",
    "there is no solution": "no solution", "there are no solutions": "no solution", "dne": "does not exist",
    "doesnt exist": "does not exist", "yes it is": "yes", "y": "yes", "n": "no",
    "all reals": "all real numbers", "every real number": "all real numbers", "any real number": "all real numbers",
    "real numbers": "all real numbers", "all real values": "all real numbers",
}  # fmt: skip
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_MAX_NUMBER_WORDS = 8
_MULTIPLES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_CHOICE = re.compile(
    r"(?:option|choice|answer)?\s*[:(\[]*\s*([A-J])\s*(?:[).:\]]\s*|\Z)(.*)\Z", re.DOTALL | re.IGNORECASE
)
# Another letter right behind the first: (A) or (B), A, C, A/B.
_ANOTHER_CHOICE = re.compile(
    r"\s*(?:[,;&/+]|or\b|and\b)?\s*(?:or|and)?\s*[(\[]\s*[A-J]\s*[)\]]|\s*(?:or|and|&|/)\s*[A-J]\b"
)
_BARE_LETTER = re.compile(r"[A-Ja-j]\Z")


_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "twentieth": 20, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_ORDINALS = {word: value for word, value in _PARTS.items() if word not in ("half", "halves", "quarter")} | {
    "first": 1, "second": 2, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16, "eighteenth": 18,
}  # fmt: skip
_PARTS |= {word + "s": value for word, value in _PARTS.items() if word not in ("half", "halves")}


def strip_commands(text: str) -> str:
    r"""`text` without \text{…} and LaTeX spaces, its content kept."""
    if "\\" in text or "$" in text or "~" in text:
        text = _TEXT_COMMAND.sub(r"\1", _TEXT_COMMAND.sub(r"\1", text))
        text = _SPACING.sub(" ", text)
    return text.strip()


def is_text(plain: str) -> bool:
    """Whether an answer (already without commands) is words: letters and punctuation, no digit, no operator."""
    return bool(_WORDS.match(plain) and _LONG_WORD.search(plain) and not _MATH_WORD.search(plain))


def is_label(plain: str) -> bool:
    """Whether a text that is no mathematics is words with numbers: June 20, 3:45 PM, Room 101."""
    return bool(_LABEL.match(plain) and _LONG_WORD.search(plain))


def canonical(plain: str) -> str:
    """Lower case, no punctuation, no articles, one space between words, synonyms replaced."""
    words = plain.lower().translate(_PUNCTUATION).split()
    joined = " ".join(word for word in words if word not in _ARTICLES) or " ".join(words)
    return _SAME.get(joined, joined)


def to_number(words: str) -> Node | None:
    """The number that words name: "one hundred and five", "minus two thirds", "three and a half", "tenth"; or None."""
    sign, _, rest = words.partition(" ")
    if sign in ("minus", "negative"):
        value = to_number(rest)
        return None if value is None else negate(value)
    if words in _ORDINALS:
        return ("n", _ORDINALS[words], None)
    if words == "dozen":
        return ("n", 12, None)
    if " point " in words:
        return _decimal(*words.split(" point ", 1))
    number, _, part = words.rpartition(" ")
    if part in _PARTS:
        return _fraction(number, _PARTS[part])
    whole = _whole_number(words)
    return None if whole is None else ("n", whole, None)


def counted(plain: str) -> str | None:
    """`seven solutions` as `7 solutions`; None where no number in words stands before one or two other words."""
    parts = plain.lower().replace("-", " ").split()
    for length in range(min(len(parts) - 1, _MAX_NUMBER_WORDS), 0, -1):
        value = _whole_number(" ".join(parts[:length]))
        if value is not None and len(parts) - length <= 2:
            return f"{value} {' '.join(parts[length:])}"
    return None


def _decimal(whole: str, places: str) -> Node | None:
    """three point one four."""
    value, digits = _whole_number(whole), [_NUMBERS.get(word, 10) for word in places.split()]
    if value is None or max(digits) > 9:
        return None
    return ("n", Fraction(int("".join(map(str, [value, *digits]))), 10 ** len(digits)), len(digits))


def _fraction(number: str, bottom: int) -> Node | None:
    """two thirds, three and one half, half."""
    number, joint, top = f"{number} ".rpartition("and ")
    if joint and number.endswith("hundred "):
        number, top = "", f"{number}{joint}{top}"
    count = 1 if not top.strip() else _whole_number(top)
    whole = 0 if not number.strip() else _whole_number(number)
    if count is None or whole is None:
        return None
    return ("/", ("n", whole * bottom + count, None), ("n", bottom, None))


def _whole_number(words: str) -> int | None:
    """The value of number words up to the billions, or None."""
    total, current, seen = 0, 0, False
    for word in words.split():
        if word in _NUMBERS:
            current, seen = current + _NUMBERS[word], True
        elif word == "hundred":
            current, seen = (current or 1) * 100, True
        elif word in _MULTIPLES:
            total, current, seen = total + (current or 1) * _MULTIPLES[word], 0, True
        elif word != "and" or not seen:
            return None
    return total + current if seen else None


def choice(plain: str) -> tuple[str, str] | None:
    """The letter of `(B)`, `B.`, `option b: 12`, and what stands behind it; None if this is no choice."""
    if len(plain) > 200:
        return None
    match = _CHOICE.match(plain)
    if match and _ANOTHER_CHOICE.match(match[2]):
        return None
    if not match or (match[1].islower() and not match[2] and _BARE_LETTER.match(plain)):
        return None
    return match[1].upper(), match[2].strip()


def choices(plain: str) -> tuple[str, ...] | None:
    """The letters of an answer with several choices: `A, C`, `(A) and (C)`, `ACD`."""
    letters = re.sub(r"\band\b|[\s,;()&.]", "", plain)
    several = 1 < len(letters) <= 8 and letters.isalpha() and letters.isascii() and letters.isupper()
    if several and max(letters) <= "H" and len(set(letters)) == len(letters):
        return tuple(sorted(letters))
    return None

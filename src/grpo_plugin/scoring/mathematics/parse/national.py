"""Notation of other countries: decimal commas, points between thousands, ]1; 2[ for (1, 2), C_5^2 for a binomial."""

import re

from grpo_plugin.scoring.mathematics.parse.units import is_unit

# 1.234.567 and 1.234,5; 1.234 alone stays a decimal.
_POINTS = re.compile(
    r"(?<![0-9.,])([0-9]{1,3}(?:\.[0-9]{3}){2,}(?:,[0-9]+)?|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,2})(?![0-9.,])"
)
# A comma behind four digits separates no thousands: 1000,99.
_LONG_DECIMAL = re.compile(r"(-?[0-9]{4,}),([0-9]{1,2}|[0-9]{4,})(?=\Z|\D)")
# 2,5 alone is a list of two; with a unit right behind it, it is a decimal.
_WITH_UNIT = re.compile(
    r"(-?[0-9]{1,3}),([0-9]{1,2}|[0-9]{4,})(?=\s*(?:\\?%|[€£₽]|\\\$|(?:\\(?:text|mathrm)\s*\{\s*)?([a-zA-Z]+)))"
)
_LIST_OR_DECIMAL = re.compile(r"(-?[0-9]+),([0-9]{1,2}|[0-9]{4,})(?=\Z|\s*[^0-9\s,;])")
# 7'000 and 7_000; a subscript of three digits is no base.
_MARKED_GROUPS = re.compile(
    r"(?<![0-9.,'_])[0-9]{1,3}(?:'[0-9]{3})+(?![0-9'])|(?<![0-9.,'_])[0-9]{1,3}(?:_[0-9]{3})+(?![0-9_])"
)
_LAKHS = re.compile(r"-?[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?\Z")
_OPENING = re.compile(r"(^|\\in|\\cup|\\cap|=|\bU)(\s*(?:\\left)?\s*)\](?=[^\[\]]*[,;][^\[\]]*(?:\\right)?\s*[\[\]])")
_CLOSING = re.compile(r"(?<=[^\[\]\\(])((?:\\right)?\s*)\[(?=\s*(?:\Z|\\cup|\\cap|U\b|,|\\text|or\b|\$))")
_CHOSEN = re.compile(
    r"(?:\\(?:mathrm|text|rm)\s*\{\s*)?\b([CA])\s*\}?\s*_\s*\{?\s*([0-9]{1,3})\s*\}?\s*\^\s*\{?\s*([0-9]{1,3})\s*\}?"
)
_CHOSEN_BEFORE = re.compile(
    r"(?:\{\s*\}\s*_|\^)\s*\{?\s*([0-9]{1,3})\s*\}?\s*(?:\\(?:mathrm|text|rm)\s*\{\s*)?([CP])\s*\}?\s*_\s*\{?\s*([0-9]{1,3})\s*\}?"
)


def to_common(text: str) -> str:
    """`text` in the notation that the grammar reads."""
    if "," in text:
        text = _LONG_DECIMAL.sub(r"\1.\2", text) if _LONG_DECIMAL.fullmatch(text) else text
        text = _WITH_UNIT.sub(_decimal_with_unit, text)
    if "'" in text or "_" in text:
        text = _MARKED_GROUPS.sub(lambda number: number[0].replace("'", "").replace("_", ""), text)
    if "." in text:
        text = _POINTS.sub(lambda number: number[1].replace(".", "").replace(",", "."), text)
    if "]" in text or "[" in text:
        text = _in_round_brackets(text)
    if "_" in text and ("C" in text or "A" in text or "P" in text):
        text = _CHOSEN_BEFORE.sub(lambda m: _choose(m[2], m[1], m[3]) or m[0], text)
        text = _CHOSEN.sub(lambda m: _choose(m[1], m[2], m[3]) or m[0], text)
    return text


def in_lakhs(text: str) -> str | None:
    """10,00,000 as 1000000, in the digit groups of India; None for any other text."""
    return text.replace(",", "") if _LAKHS.match(text) else None


def with_decimal_points(text: str) -> str | None:
    """`text` with its decimal commas as points, for an answer in a language that writes them; None without any."""
    changed = _LIST_OR_DECIMAL.sub(r"\1.\2", text)
    return changed if changed != text else None


def _decimal_with_unit(match: re.Match[str]) -> str:
    word = match[3]
    return f"{match[1]}.{match[2]}" if word is None or is_unit(word) else match[0]


def _in_round_brackets(text: str) -> str:
    """]1, 2[ as (1, 2), [1, 2[ as [1, 2)."""
    opened = _OPENING.sub(r"\1\2(", text)
    if opened == text and not text.rstrip(" $").endswith("[") and not re.search(r"\[\s*\\cup", text):
        return text
    return _CLOSING.sub(r"\1)", opened)


def _choose(kind: str, among: str, chosen: str) -> str | None:
    """C_5^2 as a binomial, A_5^2 (and _5P_2) as 5!/3!; None for a constant C_1 squared."""
    if int(among) < 3 or int(chosen) > int(among):
        return None
    if kind == "C":
        return rf"\binom{{{among}}}{{{chosen}}}"
    return rf"\frac{{{among}!}}{{{int(among) - int(chosen)}!}}"

"""Numbers written in another base: F_{16}, 21_{\\text{eight}}, 0x1F."""

import re
from fractions import Fraction

_NAMES = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen",
)  # fmt: skip
_BASES = {name: base for base, name in enumerate(_NAMES, start=2)} | {
    "bin": 2, "binary": 2, "oct": 8, "octal": 8, "dec": 10, "decimal": 10, "hex": 16, "hexadecimal": 16,
}  # fmt: skip
_SUBSCRIPTED = re.compile(r"\(?\s*([0-9A-Z]+(?:\.[0-9A-Z]+)?)\s*\)?\s*_\s*\{?\s*([0-9]{1,2}|[a-z]+)\s*\}?\Z")
_IN_WORDS = re.compile(r"([0-9A-Z]+)\s*(?:,|\()?\s*(?:in )?base[ -]([0-9]{1,2}|[a-z]+)\)?\Z", re.IGNORECASE)
_PREFIXED = re.compile(r"0([xXbBoO])([0-9a-fA-F]+)\Z")
_MAX_DIGITS = 500


def based_number(plain: str) -> Fraction | int | None:
    """The value of a number with its base, or None; a lone lower-case letter with a subscript is a symbol."""
    if prefixed := _PREFIXED.match(plain):
        return _value(prefixed[2], {"x": 16, "b": 2, "o": 8}[prefixed[1].lower()])
    if "_" not in plain and "base" not in plain.lower():
        return None
    match = _SUBSCRIPTED.match(plain) or _IN_WORDS.match(plain)
    if match is None:
        return None
    base = match[2].lower()
    return _value(match[1], int(base) if base.isdigit() else _BASES.get(base, 0))


def _value(digits: str, base: int) -> Fraction | int | None:
    if not 2 <= base <= 36 or len(digits) > _MAX_DIGITS:
        return None
    try:
        whole, _, places = digits.partition(".")
        value = Fraction(int(whole + places, base), base ** len(places))
        return value.numerator if value.denominator == 1 else value
    except ValueError:
        return None

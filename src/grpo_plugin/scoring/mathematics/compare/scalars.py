"""Whether two expressions are equal: exact arithmetic first, then 50 digits, at points where there are symbols."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from functools import lru_cache
from typing import Any

from grpo_plugin.scoring.mathematics.compare.bounds import surely_differ
from grpo_plugin.scoring.mathematics.compare.exact import Rational, exact
from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.compare.numeric import DIGITS, Values, evaluate
from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, Node, has_constant, is_integer, negate, symbols

_tolerance: ContextVar[float] = ContextVar("tolerance", default=0.0)
_TOLERANCE = 10.0 ** (8 - DIGITS)
_ROUGH_DIGITS = 25
# A decimal with this many places or digits may stand for an irrational or periodic number that it rounds.
_PLACES, _SIGNIFICANT = 6, 7
_MAX_SYMBOLS = 12
_TEN: Node = ("n", 10, None)
_MAX_SHIFT = 400


def same_scalar(left: Node, right: Node) -> bool:
    """Whether two expressions have the same value, for all values of their symbols."""
    if left == right:
        return True
    names = tuple(sorted(symbols(left) | symbols(right)))
    try:
        if len(names) > _MAX_SYMBOLS:
            return False
        return _same_function(left, right, names) if names else same_constant(left, right)
    except (TooBig, RecursionError):
        return False


def same_constant(left: Node, right: Node) -> bool:
    left, right = _as_decimal(left), _as_decimal(right)
    exact_left, exact_right = exact_or_none(left), exact_or_none(right)
    if exact_left is not None and exact_right is not None:
        if exact_left == exact_right or _rounds(left, right, exact_right) or _rounds(right, left, exact_left):
            return True
        return _within_tolerance(left, right)
    if _infinity(left) or _infinity(right):
        return _infinity(left) == _infinity(right)
    if not surely_differ(left, right):
        same = _agree(left, right, {}, has_constant(left, "i") or has_constant(right, "i"))
        if same is None:
            same = _agree(left, right, {}, True)
        if same:
            return True
    return _rounds_irrational(left, right) or _rounds_irrational(right, left) or _within_tolerance(left, right)


def _as_decimal(node: Node) -> Node:
    """2.5 \\times 10^{-3} as the decimal 0.0025 with its places; anything else as it is."""
    if node[0] == "-":
        inner = _as_decimal(node[1])
        return negate(inner) if inner is not node[1] else node
    if node[0] != "*" or len(node[1]) != 2:
        return node
    mantissa, power = node[1]
    if mantissa[0] != "n" or mantissa[2] is None or power[0] != "^" or power[1] != _TEN or not is_integer(power[2]):
        return node
    exponent = power[2][1]
    if abs(exponent) > _MAX_SHIFT:
        return node
    return ("n", mantissa[1] * Fraction(10) ** exponent, max(mantissa[2] - exponent, 0))


@contextmanager
def allowed_difference(share: float) -> Iterator[None]:
    """Within the block (and this thread), numbers are the same that differ by at most this share of the first."""
    token = _tolerance.set(share)
    try:
        yield
    finally:
        _tolerance.reset(token)


def _within_tolerance(gold: Node, answer: Node) -> bool:
    share = _tolerance.get()
    if not share:
        return False
    try:
        value, other = evaluate(gold, {}), evaluate(answer, {})
    except (Undefined, NotExact, TooBig):
        return False
    return bool(abs(value - other) <= share * abs(value))


def approximates(decimal: Node, other: Node) -> bool:
    """Whether a decimal is `other` rounded or cut off at its last place."""
    if decimal[0] not in ("n", "-") or symbols(other) or other[0] in CONTAINERS:
        return False
    number = decimal if decimal[0] == "n" else decimal[1]
    if number[0] != "n":
        return False
    try:
        return _is_rounding(evaluate(decimal, {}), evaluate(other, {}), 10.0 ** -(number[2] or 0))
    except (Undefined, NotExact, TooBig):
        return False


def exact_or_none(node: Node) -> Rational | None:
    """The rational value of a constant, or None where it has none (or is too big to tell)."""
    try:
        return exact(node, {})
    except (NotExact, Undefined, TooBig):
        return None


def _infinity(node: Node) -> int | None:
    """The sign of an infinity, or None for anything else."""
    if node == ("c", "infty"):
        return 1
    return -1 if node == ("-", ("c", "infty")) else None


def _rounds(decimal: Node, other: Node, value: Rational) -> bool:
    """Whether a long decimal is the rounding (or the first digits) of a periodic number."""
    if not _is_long_decimal(decimal) or other[0] == "n" or not isinstance(value, Fraction):
        return False
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator > 1 and _is_rounding(_signed(decimal), value, Fraction(1, 10 ** decimal[2]))


def _rounds_irrational(decimal: Node, other: Node) -> bool:
    if not _is_long_decimal(decimal) or exact_or_none(other) is not None:
        return False
    try:
        value = evaluate(other, {})
    except (Undefined, NotExact):
        return False
    return _is_rounding(evaluate(decimal, {}), value, 10.0 ** -decimal[2])


def _is_rounding(decimal: Any, value: Any, place: Any) -> bool:
    """Whether a decimal is a value rounded to its last place, or cut off there."""
    gap = abs(decimal - value)
    return bool(gap <= place / 2 or (gap < place and abs(decimal) < abs(value)))


def _is_long_decimal(node: Node) -> bool:
    if node[0] != "n" or not node[2]:
        return False
    return node[2] >= _PLACES or len(str(abs(int(node[1] * 10 ** node[2])))) >= _SIGNIFICANT


def _signed(node: Node) -> Fraction:
    return Fraction(node[1])


def _same_function(left: Node, right: Node, names: tuple[str, ...]) -> bool:
    """Equality at generic points; at natural numbers for what is defined there alone."""
    verdict = _same_at(left, right, _rational_points(names))
    if verdict is None:
        verdict = _same_at(left, right, _natural_points(names))
    return bool(verdict)


def _same_at(left: Node, right: Node, points: list[Values]) -> bool | None:
    """False at the first point where they differ, True when two points agree, None where too few have a value."""
    complex_plane = has_constant(left, "i") or has_constant(right, "i")
    agreed = 0
    for values in points:
        same = _agree_exactly(left, right, values)
        if same is None:
            same = _agree(left, right, values, complex_plane)
        if same is False:
            return False
        agreed += same is True
        if agreed == 3:
            return True
    return True if agreed >= 2 else None


def _agree_exactly(left: Node, right: Node, values: Values) -> bool | None:
    try:
        return exact(left, values) == exact(right, values)
    except (NotExact, Undefined):
        return None


def _agree(left: Node, right: Node, values: Values, complex_plane: bool) -> bool | None:
    """Equality to nearly all digits at one point; None where one side has no value there."""
    try:
        one, other = evaluate(left, values, complex_plane), evaluate(right, values, complex_plane)
        gap, size = abs(one - other), max(abs(one), abs(other))
        if gap <= _TOLERANCE * size:
            return True
        if min(abs(one), abs(other)) > _TOLERANCE:
            return False
        return _is_noise(left, one, values, complex_plane) and _is_noise(right, other, values, complex_plane)
    except (Undefined, NotExact):
        return None


def _is_noise(node: Node, value: Any, values: Values, complex_plane: bool) -> bool:
    """Whether a tiny value is rounding noise about zero: with fewer digits it would be much larger."""
    rough = evaluate(node, values, complex_plane, _ROUGH_DIGITS)
    return bool(value == 0 or abs(value) < abs(rough) * 1e-10)


@lru_cache(maxsize=1024)
def _rational_points(names: tuple[str, ...]) -> list[Values]:
    """Generic rationals: between 0 and 1, about 1 to 3, negative, mixed, large."""
    generator = random.Random(20_250)
    return [
        {name: Fraction(generator.randint(low * 97, high * 97) * 2 + 1, 1940) for name in names}
        for low, high in ((1, 9), (11, 31), (-29, -3), (3, 60), (-9, 19), (40, 90))
    ]


@lru_cache(maxsize=1024)
def _natural_points(names: tuple[str, ...]) -> list[Values]:
    generator = random.Random(20_251)
    return [
        dict(zip(names, generator.sample(range(low, high + len(names)), len(names)), strict=True))
        for low, high in ((2, 7), (5, 12), (8, 15))
    ]

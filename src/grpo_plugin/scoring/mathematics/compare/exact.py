"""Exact values: integers and rationals, never floats. What has no rational value raises `NotExact`."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.parse.nodes import Node

MAX_BITS = 200_000
MAX_FACTORIAL = 10_000

Rational = int | Fraction
Values = Mapping[str, Rational]


def exact(node: Node, values: Values) -> Rational:
    """The rational value of `node` with symbols, π and e taken from `values`.

    Raises:
        NotExact: it is irrational, or a symbol has no value.
        Undefined: a division by zero.
        TooBig: the value would have more than `MAX_BITS` bits.
    """
    kind = node[0]
    if kind == "n":
        return node[1]
    if kind in ("v", "c"):
        if node[1] in values:
            return values[node[1]]
        raise NotExact(node[1])
    evaluate = _EVALUATORS.get(kind)
    if evaluate is None:
        raise NotExact(kind)
    return evaluate(node, values)


def _sum(node: Node, values: Values) -> Rational:
    total: Rational = 0
    for term in node[1]:
        total += exact(term, values)
    return total


def _product(node: Node, values: Values) -> Rational:
    result: Rational = 1
    for factor in node[1]:
        result *= exact(factor, values)
        _check_size(result)
    return result


def _quotient(node: Node, values: Values) -> Rational:
    return divide(exact(node[1], values), exact(node[2], values))


def divide(top: Rational, bottom: Rational) -> Rational:
    if bottom == 0:
        raise Undefined("division by zero")
    quotient = Fraction(top) / bottom
    return quotient.numerator if quotient.denominator == 1 else quotient


def _power(node: Node, values: Values) -> Rational:
    base, exponent = exact(node[1], values), exact(node[2], values)
    if isinstance(exponent, Fraction) and exponent.denominator != 1:
        return _integer_power(root(base, exponent.denominator), exponent.numerator)
    return _integer_power(base, int(exponent))


def _integer_power(base: Rational, exponent: int) -> Rational:
    if base in (0, 1, -1):
        if base == 0 and exponent < 0:
            raise Undefined("zero to a negative power")
        return base if base == 1 or exponent % 2 else 1 if base or exponent == 0 else 0
    if _bits(base) * abs(exponent) > MAX_BITS:
        raise TooBig("power")
    return base**exponent if exponent >= 0 else divide(1, base ** (-exponent))


def root(radicand: Rational, degree: int) -> Rational:
    """The real root where it is rational.

    Raises:
        NotExact: it is irrational or complex.
    """
    if degree < 0:
        return divide(1, root(radicand, -degree))
    if degree == 0:
        raise Undefined("root of degree 0")
    if radicand < 0:
        if degree % 2 == 0:
            raise NotExact("even root of a negative number")
        return -root(-radicand, degree)
    if isinstance(radicand, int):
        return _integer_root(radicand, degree)
    return divide(_integer_root(radicand.numerator, degree), _integer_root(radicand.denominator, degree))


def _integer_root(radicand: int, degree: int) -> int:
    if radicand in (0, 1) or degree == 1:
        return radicand
    if degree > radicand.bit_length():
        raise NotExact("root")
    found = math.isqrt(radicand) if degree == 2 else _newton_root(radicand, degree)
    if found**degree != radicand:
        raise NotExact("root")
    return found


def _newton_root(radicand: int, degree: int) -> int:
    """The integer part of a root, by Newton's method from above."""
    guess = 1 << -(-radicand.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + radicand // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def _factorial(node: Node, values: Values) -> Rational:
    value = exact(node[1], values)
    if isinstance(value, Fraction) or value < 0:
        raise NotExact("factorial of a number that is no natural number")
    if value > MAX_FACTORIAL:
        raise TooBig("factorial")
    return math.factorial(value)


def _function(node: Node, values: Values) -> Rational:
    name, arguments = node[1], node[2]
    compute = _FUNCTIONS.get(name)
    if compute is None:
        raise NotExact(name)
    lowest, highest = _ARITY.get(name, (1, 1))
    if not lowest <= len(arguments) <= highest:
        raise NotExact(f"{name} of {len(arguments)} arguments")
    return compute(*(exact(argument, values) for argument in arguments))


def _double_factorial(value: Rational) -> Rational:
    if isinstance(value, Fraction) or value < 0:
        raise NotExact("double factorial")
    if value > MAX_FACTORIAL:
        raise TooBig("double factorial")
    return math.prod(range(value, 0, -2))


def _binomial(top: Rational, bottom: Rational) -> Rational:
    if isinstance(top, Fraction) or isinstance(bottom, Fraction) or top < 0 or bottom < 0:
        raise NotExact("binomial")
    if top > MAX_FACTORIAL:
        raise TooBig("binomial")
    return math.comb(top, bottom)


def _root_of(radicand: Rational, degree: Rational = 2) -> Rational:
    if isinstance(degree, Fraction) or abs(degree) > 1000:
        raise NotExact("root")
    return root(radicand, degree)


def _logarithm(value: Rational, base: Rational | None = None) -> Rational:
    """log_b(v) where it is a whole number, up or down; log(1) for any base."""
    if value == 1:
        return 0
    if base is None or base <= 1 or value <= 0 or isinstance(base, Fraction):
        raise NotExact("logarithm")
    up = value if value > 1 else divide(1, value)
    if isinstance(up, Fraction):
        raise NotExact("logarithm")
    count = round(up.bit_length() / math.log2(base)) if up.bit_length() < MAX_BITS else 0
    for power in (count - 1, count, count + 1):
        if power > 0 and base**power == up:
            return power if value > 1 else -power
    raise NotExact("logarithm")


def _whole(compute: Any) -> Any:
    """A function of integers alone."""

    def of_integers(*arguments: Rational) -> Rational:
        if any(isinstance(argument, Fraction) for argument in arguments):
            raise NotExact("a function of integers")
        return compute(*arguments)

    return of_integers


def _percent(node: Node, values: Values) -> Rational:
    return divide(exact(node[1], values), 100)


def _based(node: Node, values: Values) -> Rational:
    """Digits in another base: 101_2 is 5."""
    base = exact(node[2], values)
    if isinstance(base, Fraction) or not 2 <= base <= 36 or any(int(digit) >= base for digit in node[1]):
        raise NotExact("base")
    return int(node[1], base)


def _bits(value: Rational) -> int:
    if isinstance(value, int):
        return value.bit_length()
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _check_size(value: Rational) -> None:
    if _bits(value) > 4 * MAX_BITS:
        raise TooBig("product")


_FUNCTIONS: dict[str, Any] = {
    "root": _root_of,
    "sqrt": _root_of,
    "cbrt": lambda radicand: root(radicand, 3),
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "gcd": _whole(math.gcd),
    "lcm": _whole(math.lcm),
    "binom": _binomial,
    "!!": _double_factorial,
    "log": _logarithm,
    "ln": _logarithm,
}
_MANY = (1, 1000)
_ARITY = {
    "root": (1, 2), "sqrt": (1, 2), "binom": (2, 2), "log": (1, 2), "max": _MANY, "min": _MANY, "gcd": _MANY,
    "lcm": _MANY,
}  # fmt: skip
_EVALUATORS = {
    "+": _sum,
    "*": _product,
    "/": _quotient,
    "^": _power,
    "-": lambda node, values: -exact(node[1], values),
    "!": _factorial,
    "f": _function,
    "%": _percent,
    "°": lambda node, values: exact(node[1], values),
    "base": _based,
}

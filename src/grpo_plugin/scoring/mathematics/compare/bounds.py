"""Float values with a bound on their rounding error: a quick proof that two numbers differ."""

import math

from grpo_plugin.scoring.mathematics.parse.nodes import Node

_EPSILON = 4e-16
_CONSTANTS = {"pi": math.pi, "e": math.e}
Bounded = tuple[float, float]


def surely_differ(left: Node, right: Node) -> bool:
    """Whether two constants differ by more than their rounding errors; False means not known."""
    try:
        (one, error), (other, other_error) = bounded(left), bounded(right)
    except (ArithmeticError, ValueError, KeyError, TypeError):
        return False
    return abs(one - other) > 4 * (error + other_error)


def bounded(node: Node) -> Bounded:
    """The value of a constant built of numbers, π, e, sums, products, quotients, powers and roots, and its error.

    Raises:
        ArithmeticError, ValueError, KeyError, TypeError: it has another part, or no finite real value.
    """
    kind = node[0]
    if kind == "n":
        value = float(node[1])
        return value, abs(value) * _EPSILON
    if kind == "c":
        return _CONSTANTS[node[1]], _EPSILON * 4
    return _OPERATIONS[kind](node)


def _sum(node: Node) -> Bounded:
    parts = [bounded(term) for term in node[1]]
    return sum(value for value, _ in parts), sum(error + abs(value) * _EPSILON for value, error in parts) * 2


def _product(node: Node) -> Bounded:
    value, relative = 1.0, 0.0
    for factor in node[1]:
        part, error = bounded(factor)
        value *= part
        relative += error / abs(part) + _EPSILON
    return _finite(value, abs(value) * relative)


def _quotient(node: Node) -> Bounded:
    (top, top_error), (bottom, bottom_error) = bounded(node[1]), bounded(node[2])
    value = top / bottom
    relative = (top_error / abs(top) if top else 0.0) + bottom_error / abs(bottom) + _EPSILON
    return _finite(value, abs(value) * relative + (top_error / abs(bottom)))


def _negative(node: Node) -> Bounded:
    value, error = bounded(node[1])
    return -value, error


def _power(node: Node) -> Bounded:
    (base, error), (exponent, exponent_error) = bounded(node[1]), bounded(node[2])
    value = math.pow(base, exponent)
    relative = abs(exponent) * error / abs(base) + exponent_error * abs(math.log(abs(base))) + _EPSILON
    return _finite(value, abs(value) * relative)


def _root(node: Node) -> Bounded:
    if node[1] != "root":
        raise KeyError(node[1])
    (radicand, error), (degree, _) = bounded(node[2][0]), bounded(node[2][1])
    if radicand <= 0:
        raise ValueError("a root of zero or less")
    value = math.pow(radicand, 1 / degree)
    return value, value * (error / radicand + _EPSILON * (4 + abs(math.log(radicand))))


def _finite(value: float, error: float) -> Bounded:
    """Refuse what overflowed or fell below the normal floats, where relative errors mean nothing."""
    if not (1e-290 < abs(value) < 1e290 or value == 0):
        raise OverflowError(value)
    return value, error


_OPERATIONS = {"+": _sum, "*": _product, "/": _quotient, "-": _negative, "^": _power, "f": _root}

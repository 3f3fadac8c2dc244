"""Numerical values to 50 digits, and equality of expressions by evaluation at fixed generic points.

The real field comes first: a root or a logarithm of a negative number has no value there, so that identities are
compared where both sides are real. Expressions with i are evaluated in the complex plane.
"""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from mpmath import MPContext
from mpmath.libmp import NoConvergence

from grpo_plugin.scoring.mathematics.compare.exact import Rational
from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.parse.lexicon import TRIGONOMETRIC, words
from grpo_plugin.scoring.mathematics.parse.nodes import Node

DIGITS = 50
_MAX_EXPONENT = 10_000

Values = Mapping[str, Rational]


@cache
def _context(digits: int) -> Any:
    """An mpmath context of our own, so that the global precision stays as it is."""
    context = MPContext()
    context.dps = digits
    return context


def evaluate(node: Node, values: Values, complex_plane: bool = False, digits: int = DIGITS) -> Any:
    """The value of `node` as an mpmath number.

    Raises:
        Undefined: no real value here (with `complex_plane`: no value at all).
        NotExact: a part of it cannot be evaluated.
        TooBig: an exponent or an argument out of any sensible range.
    """
    context = _context(digits)
    try:
        value = _Evaluation(values, complex_plane, context).of(node)
    except (ZeroDivisionError, ValueError, TypeError, OverflowError, NoConvergence) as error:
        raise Undefined(str(error)) from error
    if not context.isfinite(value):
        raise Undefined("infinite")
    return value


class _Evaluation:
    def __init__(self, values: Values, complex_plane: bool, context: Any) -> None:
        self.values = values
        self.complex_plane = complex_plane
        self.mp = context
        self.angles = False

    def of(self, node: Node) -> Any:
        kind = node[0]
        if kind == "n":
            return self._rational(node[1])
        if kind in ("v", "c"):
            return self._leaf(node[1])
        if kind == "+":
            return self.mp.fsum(self.of(term) for term in node[1])
        if kind == "*":
            return self._product(node[1])
        if kind == "-":
            return -self.of(node[1])
        if kind == "/":
            return self.of(node[1]) / self.of(node[2])
        if kind == "^":
            return self._power(node[1], node[2])
        if kind == "f":
            return self._function(node[1], self._arguments(node[1], node[2]))
        return self._postfix(kind, node)

    def _postfix(self, kind: str, node: Node) -> Any:
        if kind == "%":
            return self.of(node[1]) / 100
        if kind == "°":
            return self.of(node[1]) * self.mp.pi / 180 if self.angles else self.of(node[1])
        if kind == "!":
            value = self.of(node[1])
            if abs(value) > _MAX_EXPONENT:
                raise TooBig("factorial")
            return self.mp.gamma(value + 1)
        if kind == "base":
            return self.mp.mpf(int(node[1], int(self.of(node[2]))))
        raise NotExact(kind)

    def _rational(self, value: Rational) -> Any:
        if isinstance(value, Fraction):
            return self.mp.mpf(value.numerator) / value.denominator
        return self.mp.mpf(value)

    def _leaf(self, name: str) -> Any:
        if name in self.values:
            return self._rational(self.values[name])
        if name == "pi":
            return +self.mp.pi
        if name == "e":
            return +self.mp.e
        if name == "i" and self.complex_plane:
            return self.mp.mpc(0, 1)
        raise Undefined(name) if name in ("i", "infty") else NotExact(name)

    def _product(self, factors: tuple[Node, ...]) -> Any:
        result = self.of(factors[0])
        for factor in factors[1:]:
            result = result * self.of(factor)
        return result

    def _power(self, base_node: Node, exponent_node: Node) -> Any:
        base, exponent = self.of(base_node), self.of(exponent_node)
        if abs(exponent) > _MAX_EXPONENT:
            raise TooBig("exponent")
        if self.complex_plane or base >= 0 or self.mp.isint(exponent):
            return base**exponent
        degree = _odd_denominator(exponent_node)
        if degree is None:
            raise Undefined("a power of a negative number")
        return self._root(base, degree) ** self.mp.nint(exponent * degree)

    def _root(self, radicand: Any, degree: Any) -> Any:
        if self.complex_plane or radicand >= 0:
            return self.mp.root(radicand, int(degree)) if self.mp.isint(degree) else radicand ** (1 / degree)
        if int(degree) == degree and int(degree) % 2:
            return -self.mp.root(-radicand, int(degree))
        raise Undefined("an even root of a negative number")

    def _arguments(self, name: str, nodes: tuple[Node, ...]) -> list[Any]:
        """Within a trigonometric function degrees become radians; elsewhere 30° is the number 30."""
        outer, self.angles = self.angles, self.angles or name in TRIGONOMETRIC
        values = [self.of(node) for node in nodes]
        self.angles = outer
        return values

    def _function(self, name: str, arguments: list[Any]) -> Any:
        if name in ("root", "sqrt", "cbrt"):
            degree = arguments[1] if len(arguments) > 1 else 3 if name == "cbrt" else 2
            return self._root(arguments[0], degree)
        if name in ("log", "ln"):
            return self._logarithm(*arguments)
        if name in ("arcsin", "arccos") and not self.complex_plane and abs(arguments[0]) > 1:
            raise Undefined(name)
        if name in ("max", "min"):
            return (max if name == "max" else min)(arguments)
        if name in _FUNCTIONS and all(abs(argument) < 1e6 for argument in arguments):
            return getattr(self.mp, _FUNCTIONS[name])(*arguments)
        raise NotExact(name)

    def _logarithm(self, value: Any, base: Any = None) -> Any:
        if value == 0 or (not self.complex_plane and (value < 0 or (base is not None and base <= 0))):
            raise Undefined("a logarithm of a number that is not positive")
        return self.mp.log(value) if base is None else self.mp.log(value) / self.mp.log(base)


_FUNCTIONS = {
    **{name: name for name in TRIGONOMETRIC | words("sinh cosh tanh coth exp")},
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "abs": "fabs", "floor": "floor", "ceil": "ceil", "sgn": "sign", "binom": "binomial", "Re": "re", "Im": "im",
    "arg": "arg",
}  # fmt: skip


def _odd_denominator(node: Node) -> int | None:
    """The denominator of an exponent written as a fraction, where it is odd: x^{1/3} is a real root."""
    if node[0] == "/" and node[2][0] == "n" and isinstance(node[2][1], int) and node[2][1] % 2:
        return node[2][1]
    return _odd_denominator(node[1]) if node[0] == "-" else None

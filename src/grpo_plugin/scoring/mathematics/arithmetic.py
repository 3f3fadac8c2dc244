"""Expressions: sums, products and powers of atoms."""

from fractions import Fraction

from grpo_plugin.scoring.mathematics.atoms import AtomParser
from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.lexicon import STOPS
from grpo_plugin.scoring.mathematics.nodes import Node, add, is_integer, mixed_number, multiply, negate
from grpo_plugin.scoring.mathematics.tokens import Token

CURRENCIES = frozenset("$€£¥₹¢")
_TEMPERATURES = {"C": "celsius", "Celsius": "celsius", "F": "fahrenheit", "Fahrenheit": "fahrenheit"}
_CIRCLES = ("circ", "o")
_SIGNS = frozenset(("+", "-", "pm", "mp"))
_POSTFIX = frozenset(("!", "%", "percent", "degree", *CURRENCIES))


class ArithmeticParser(AtomParser):
    """Recursive descent; `bars` counts open absolute values, `currency` is a money sign met in the expression."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.bars = 0
        self.currency: str | None = None

    def additive(self) -> Node:
        """Terms joined by +, - and ±."""
        self.deeper()
        left = self._signed_term()
        while self.sign in _SIGNS:
            sign = self.next()
            right = self.term()
            left = ("±", left, right) if sign in ("pm", "mp") else add(left, right if sign == "+" else negate(right))
        self.depth -= 1
        return left

    def _signed_term(self) -> Node:
        if self.sign not in _SIGNS:
            return self.term()
        sign = self.next()
        self.deeper()
        node = self._signed_term()
        self.depth -= 1
        if sign in ("pm", "mp"):
            return ("±", ("n", 0, None), node)
        return node if sign == "+" else negate(node)

    def term(self) -> Node:
        """Factors joined by *, / or by standing side by side."""
        left = self.factor()
        while True:
            if self.sign in ("*", "times"):
                self.next()
                left = multiply(left, self.factor())
            elif self.sign in ("/", "div"):
                self.next()
                left = ("/", left, self.factor())
            elif self.starts_factor():
                left = self._side_by_side(left)
            else:
                return left

    def _side_by_side(self, left: Node) -> Node:
        """Implicit product; an integer before a proper fraction is a mixed number."""
        right = self._fraction_ahead(left) if self.kind == "number" else self.power()
        if is_integer(left):
            mark, fraction = (right[0], right[1]) if right[0] in ("%", "°") else (None, right)
            if (mixed := mixed_number(left[1], fraction)) is not None:
                return (mark, mixed) if mark else mixed
        if right[0] == "seq" and left[0] == "v":
            return right  # a point with its name, A(1, 2)
        return multiply(left, right)

    def _fraction_ahead(self, left: Node) -> Node:
        """The 3/4 of 2 3/4; no other number may follow a number."""
        ahead = self.ahead(3)
        is_fraction = [token.kind for token in ahead] == ["number", "op", "number"] and ahead[1].value == "/"
        if not (is_integer(left) and is_fraction and self.spaced):
            raise Unparsable("two numbers side by side")
        top = self.number()
        self.expect("/")
        return ("/", top, self.number())

    def starts_factor(self) -> bool:
        """Whether the token can begin a factor that multiplies what stands before it."""
        kind, value = self.kind, self.value
        if kind == "op":
            return value in ("(", "[", "{", "\\{") or (value == "|" and not self.bars)
        if kind == "command":
            return value not in STOPS or (value == "vert" and not self.bars)
        if kind == "letter":
            return value != "U" or self.tokens[self.position + 1].value not in ("(", "[", "\\{")
        return kind in ("number", "begin")

    def factor(self) -> Node:
        if self.sign == "-":
            self.next()
            self.deeper()
            node = negate(self.factor())
            self.depth -= 1
            return node
        if self.sign == "+":
            self.next()
        if self.sign in CURRENCIES and self.sign:
            self.currency = self.next()
        return self.power()

    def power(self) -> Node:
        """A primary with what is written behind it: powers, factorials, percent and degree signs."""
        base = self.primary()
        if self.sign in _POSTFIX:
            base = self.postfix(base)
        if self.sign == "^":
            self.next()
            if self._circle():
                return self._degrees(base)
            self.deeper()
            base = self.postfix(("^", base, self.exponent()))
            self.depth -= 1
        elif self.sign == "*" and self.tokens[self.position + 1].value == "*":
            self.move_to(self.position + 2)
            self.deeper()
            base = ("^", base, self.exponent())
            self.depth -= 1
        return base

    def postfix(self, node: Node) -> Node:
        while self.sign in _POSTFIX:
            if self.sign in CURRENCIES and self.currency is not None:
                break
            mark = self.next()
            if mark == "!" and self.accept("!"):
                node = ("f", "!!", (node,))
            elif mark in CURRENCIES:
                self.currency = mark
            else:
                node = ({"percent": "%", "degree": "°"}.get(mark, mark), node)
        return node

    def _circle(self) -> bool:
        """Accept the \\circ of ^\\circ, braced or not."""
        values = [token.value for token in self.ahead(3)]
        length = 1 if values[0] in _CIRCLES else 3 if values[1:2] and values[1] in _CIRCLES and values[0] == "{" else 0
        if length == 3 and values[2] != "}":
            length = 0
        self.move_to(self.position + length)
        return length > 0

    def _degrees(self, base: Node) -> Node:
        """Degrees of an angle, or of temperature where C or F stands next to them."""
        if self.kind in ("letter", "word") and self.value in _TEMPERATURES:
            return ("q", base, Fraction(1), ((_TEMPERATURES[self.next()], 1),))
        return self.postfix(("°", base))

    def exponent(self) -> Node:
        if self.sign in ("-", "+"):
            sign = self.next()
            return self.exponent() if sign == "+" else negate(self.exponent())
        return self.group() if self.sign == "{" else self.power()

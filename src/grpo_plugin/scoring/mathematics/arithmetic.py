"""Expressions: sums, products, powers, functions, fractions, roots.

A node is a tuple whose first item names it:
    ("n", value, places)   number; `places` decimals were written, None for an integer
    ("v", name)            symbol            ("c", name)        e, i, pi or infty
    ("+", (a, b, …))       ("*", (a, b, …))  ("/", a, b)        ("^", a, b)        ("-", a)
    ("f", name, (a, …))    function          ("!", a)           ("%", a)           ("°", a)
    ("±", a, b)            a+b and a-b       ("base", digits, b)
Nodes of whole answers are listed in `grammar`.
"""

from fractions import Fraction
from typing import Any

from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.tokens import FUNCTIONS, Token

Node = tuple[Any, ...]

MAX_DEPTH = 40
MAX_DIGITS = 2_000
_END = Token("end of input", "", False)
_DECORATIONS = frozenset(
    "vec hat bar tilde dot ddot overline overrightarrow overleftrightarrow widehat widetilde mathbb mathfrak mathscr "
    "angle triangle overset".split()
)
_CONSTANTS = {"pi": ("c", "pi"), "infty": ("c", "infty"), "imath": ("c", "i")}
_LETTERS = {"e": ("c", "e"), "i": ("c", "i")}
_TEMPERATURES = {"C": "celsius", "Celsius": "celsius", "F": "fahrenheit", "Fahrenheit": "fahrenheit"}
_STOPS = frozenset(
    "or and cup cap setminus le ge ne in to approx equiv mid pm mp over choose rfloor rceil rangle times div "
    "degree percent pmod mod bmod Rightarrow iff notin subset ldots not text vert if quad circ sim cong propto".split()
)
CURRENCIES = frozenset("$€£¥₹")


class ArithmeticParser:
    """Recursive descent over tokens; nesting is bounded by `MAX_DEPTH`."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.bars = 0
        self.currency: str | None = None

    @property
    def token(self) -> Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _END

    def next(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def at(self, *values: str) -> bool:
        token = self.token
        return token.value in values and token.kind in ("op", "command")

    def accept(self, *values: str) -> bool:
        if self.at(*values):
            self.position += 1
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.accept(value):
            raise Unparsable(f"expected {value!r}, found {self.token.value!r}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unparsable("nested too deeply")

    def additive(self) -> Node:
        """Terms joined by +, - and ±."""
        self.deeper()
        left = self._signed_term()
        while True:
            if self.accept("+"):
                left = add(left, self.term())
            elif self.accept("-"):
                left = add(left, negate(self.term()))
            elif self.at("pm", "mp"):
                self.next()
                left = ("±", left, self.term())
            else:
                self.depth -= 1
                return left

    def _signed_term(self) -> Node:
        if self.accept("-"):
            return negate(self._signed_term())
        if self.accept("+"):
            return self._signed_term()
        if self.at("pm", "mp"):
            self.next()
            return ("±", ("n", 0, None), self.term())
        return self.term()

    def term(self) -> Node:
        """Factors joined by *, / or by standing side by side."""
        left = self.factor()
        while True:
            if self.accept("times", "*"):
                left = multiply(left, self.factor())
            elif self.accept("/", "div"):
                left = ("/", left, self.factor())
            elif self.starts_factor():
                left = self._side_by_side(left)
            else:
                return left

    def _side_by_side(self, left: Node) -> Node:
        """Implicit product; an integer before a proper fraction is a mixed number."""
        numbers = self.token.kind == "number"
        if numbers and not self._mixed_ahead(left):
            raise Unparsable("two numbers side by side")
        if numbers:
            right: Node = ("/", self._number(), self._after_slash())
        else:
            right = self.power()
        if is_integer(left):
            mark, fraction = (right[0], right[1]) if right[0] in ("%", "°") else (None, right)
            if (mixed := _mixed(left[1], fraction)) is not None:
                return (mark, mixed) if mark else mixed
        if right[0] == "seq" and left[0] == "v":
            return right  # a point with its name, A(1, 2)
        return multiply(left, right)

    def _mixed_ahead(self, left: Node) -> bool:
        """Whether `3/4` follows an integer, as in 2 3/4."""
        ahead = self.tokens[self.position : self.position + 3]
        shape = [token.kind for token in ahead]
        return is_integer(left) and shape == ["number", "op", "number"] and ahead[1].value == "/" and ahead[0].spaced

    def _after_slash(self) -> Node:
        self.expect("/")
        return self._number()

    def starts_factor(self) -> bool:
        """Whether the token can begin a factor that multiplies what stands before it."""
        kind, value, _ = self.token
        if kind in ("number", "letter", "begin"):
            return not (value == "U" and self._opens(self.position + 1))
        if kind == "command":
            return value not in _STOPS or (value == "vert" and not self.bars)
        if kind == "op":
            return value in ("(", "[", "{", "\\{") or (value == "|" and not self.bars)
        return False

    def _opens(self, position: int) -> bool:
        return position < len(self.tokens) and self.tokens[position].value in ("(", "[", "\\{")

    def factor(self) -> Node:
        if self.accept("-"):
            self.deeper()
            node = negate(self.factor())
            self.depth -= 1
            return node
        self.accept("+")
        if self.token.value in CURRENCIES and self.token.kind == "op":
            self.currency = self.next().value
        return self.power()

    def power(self) -> Node:
        """A primary with what is written behind it: powers, factorials, percent and degree signs."""
        base = self.postfix(self.primary())
        if self.accept("^"):
            if self._circle():
                return self._degrees(base)
            self.deeper()
            base = self.postfix(("^", base, self.exponent()))
            self.depth -= 1
        elif self.at("*") and self.position + 1 < len(self.tokens) and self.tokens[self.position + 1].value == "*":
            self.position += 2
            base = ("^", base, self.exponent())
        return base

    def postfix(self, node: Node) -> Node:
        while True:
            if self.accept("!"):
                node = ("!", node)
            elif self.accept("%", "percent"):
                node = ("%", node)
            elif self.accept("degree"):
                node = ("°", node)
            elif self.token.value in CURRENCIES and self.token.kind == "op" and self.currency is None:
                self.currency = self.next().value
            else:
                return node

    def _circle(self) -> bool:
        """Accept the \\circ of ^\\circ, braced or not."""
        if self.accept("circ"):
            return True
        if [token.value for token in self.tokens[self.position : self.position + 3]] == ["{", "circ", "}"]:
            self.position += 3
            return True
        return False

    def _degrees(self, base: Node) -> Node:
        """Degrees of an angle, or of temperature where C or F stands next to them."""
        if self.token.kind in ("letter", "word") and self.token.value in _TEMPERATURES:
            return ("q", base, Fraction(1), ((_TEMPERATURES[self.next().value], 1),))
        return self.postfix(("°", base))

    def exponent(self) -> Node:
        if self.accept("-"):
            return negate(self.exponent())
        self.accept("+")
        return self.power() if not self.at("{") else self.group()

    def group(self) -> Node:
        """What stands in braces; without braces, one token (one digit of a number)."""
        if not self.accept("{"):
            return self._single()
        node = self.contents()
        if self.accept("over"):
            node = ("/", node, self.additive())
        elif self.accept("choose"):
            node = ("f", "binom", (node, self.additive()))
        self.expect("}")
        return node

    def contents(self) -> Node:
        return self.additive()

    def _single(self) -> Node:
        token = self.token
        if token.kind == "number" and token.value.isdigit() and len(token.value) > 1:
            self.tokens[self.position] = Token("number", token.value[1:], False)
            return ("n", int(token.value[0]), None)
        return self.primary()

    def primary(self) -> Node:
        kind, value, _ = self.token
        if kind == "number":
            return self._number()
        if kind == "letter":
            return self._symbol(self.next().value)
        if kind == "word":
            return ("v", self.next().value)
        if kind == "command":
            return self._command(self.next().value)
        if value == "{":
            return self.group()
        return self.bracket()

    def bracket(self) -> Node:
        raise NotImplementedError

    def _number(self) -> Node:
        digits = self.next().value
        if self.at("_") and digits.isdigit():
            self.next()
            return ("base", digits, self.group())
        return number(digits)

    def _symbol(self, name: str) -> Node:
        if name in _LETTERS and not self.at("_"):
            return _LETTERS[name]
        if self.accept("_"):
            name += "_" + self._raw()
        while self.accept("'", "prime"):
            name += "'"
        return ("v", name)

    def _raw(self) -> str:
        """The text of the next group, for names: the n+1 of a_{n+1}."""
        if not self.accept("{"):
            return self.next().value
        parts, depth = [], 1
        while True:
            token = self.next()
            if token is _END:
                raise Unparsable("a group is not closed")
            depth += (token.value == "{") - (token.value == "}")
            if depth == 0:
                return "".join(parts)
            parts.append(token.value)

    def _command(self, name: str) -> Node:
        if name == "frac":
            top = self.group()
            return ("/", top, self.group())
        if name == "sqrt":
            return self._root()
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name == "binom":
            top = self.group()
            return ("f", "binom", (top, self.group()))
        if name in FUNCTIONS:
            return self._function(name)
        if name in _DECORATIONS:
            return self._symbol(name + " " + self._raw())
        return self.special(name)

    def special(self, name: str) -> Node:
        """A command that is none of arithmetic's own; a Greek letter in the end."""
        raise NotImplementedError

    def _root(self) -> Node:
        degree: Node = ("n", 2, None)
        if self.accept("["):
            degree = self.additive()
            self.expect("]")
        self.deeper()
        radicand = self.group() if self.at("{") else self.primary()
        self.depth -= 1
        return ("f", "root", (radicand, degree))

    def _function(self, name: str) -> Node:
        """`\\sin x`, `\\sin^2 x`, `\\log_2 8`, `\\max(a, b)`; without brackets, the factors that follow."""
        base = power = None
        for _ in range(2):
            if self.accept("_"):
                base = self.group()
            elif self.accept("^"):
                power = self.exponent()
        self.deeper()
        arguments = self._arguments()
        self.depth -= 1
        if name == "log" and base is not None:
            arguments = (*arguments, base)
        if power == ("n", -1, None) and "arc" + name in FUNCTIONS:
            return ("f", "arc" + name, arguments)
        node: Node = ("f", name, arguments)
        return node if power is None else ("^", node, power)

    def _arguments(self) -> tuple[Node, ...]:
        if self.at("(", "{", "[", "\\{"):
            argument = self.group() if self.at("{") else self.bracket()
            return argument[3] if argument[0] == "seq" else (argument,)
        argument = negate(self.power()) if self.accept("-") else self.power()
        while self.starts_factor() and self.token.value not in FUNCTIONS:
            argument = multiply(argument, self.power())
        return (argument,)


def number(text: str) -> Node:
    """The node of a decimal literal, with or without an exponent.

    Raises:
        Unparsable: it has too many digits.
    """
    if len(text) > MAX_DIGITS:
        raise Unparsable("a number of too many digits")
    if text.isdigit():
        return ("n", int(text), None)
    mantissa, _, exponent = text.lower().partition("e")
    shift = int(exponent or 0)
    if abs(shift) > MAX_DIGITS:
        raise Unparsable("an exponent of too many digits")
    places = len(mantissa.partition(".")[2]) - shift
    value = Fraction(mantissa) * Fraction(10) ** shift
    return ("n", value, max(places, 0))


def _mixed(whole: int, fraction: Node) -> Node | None:
    """The value of 2 3/4; None where the fraction is not proper or not of integers."""
    if fraction[0] != "/" or not (is_integer(fraction[1]) and is_integer(fraction[2])):
        return None
    top, bottom = fraction[1][1], fraction[2][1]
    return ("/", ("n", whole * bottom + top, None), fraction[2]) if 0 < top < bottom else None


def is_integer(node: Node) -> bool:
    return node[0] == "n" and node[2] is None


def negate(node: Node) -> Node:
    return ("n", -node[1], node[2]) if node[0] == "n" else ("-", node)


def add(left: Node, right: Node) -> Node:
    return ("+", (*left[1], right)) if left[0] == "+" else ("+", (left, right))


def multiply(left: Node, right: Node) -> Node:
    return ("*", (*left[1], right)) if left[0] == "*" else ("*", (left, right))

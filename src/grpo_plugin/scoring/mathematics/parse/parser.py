"""The one parser: recursive descent through sums, products and powers, with a rule for each sign that begins an atom.

The rules (fractions, roots, functions in `commands`, brackets and environments in `brackets`) are functions of the
parser and of the sign they begin with; `grammar` puts them in one table.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.cursor import Cursor
from grpo_plugin.scoring.mathematics.parse.lexicon import STOPS, SYMBOLS
from grpo_plugin.scoring.mathematics.parse.nodes import (
    Node,
    add,
    is_integer,
    mixed_number,
    multiply,
    negate,
    number,
)
from grpo_plugin.scoring.mathematics.parse.tokens import Token
from grpo_plugin.scoring.mathematics.parse.unparsable import UnknownCommand, Unparsable

CURRENCIES = frozenset("$€£¥₹¢")
_TEMPERATURES = {"C": "celsius", "Celsius": "celsius", "F": "fahrenheit", "Fahrenheit": "fahrenheit"}
_CIRCLES = ("circ", "o")
_SIGNS = frozenset(("+", "-", "pm", "mp"))
_POSTFIX = frozenset(("!", "%", "percent", "degree", *CURRENCIES))
_LETTERS: dict[str, Node] = {"e": ("c", "e"), "i": ("c", "i")}

Rule = Callable[["Parser", str], Node]


class Parser(Cursor):
    """Recursive descent.

    Attributes:
        rules: by the sign that begins an atom, the function that reads the rest of it.
        bars: how many absolute values are open.
        currency: a money sign met in the current expression.
    """

    def __init__(self, tokens: list[Token], rules: Mapping[str, Rule]) -> None:
        super().__init__(tokens)
        self.rules = rules
        self.bars = 0
        self.currency: str | None = None

    def additive(self) -> Node:
        """Terms joined by +, - and ±; `a \\over b` is the quotient of all that stands before and after it."""
        self.deeper()
        left = self._signed_term()
        while self.sign in _SIGNS:
            sign = self.next()
            right = self.term()
            left = ("±", left, right) if sign in ("pm", "mp") else add(left, right if sign == "+" else negate(right))
        if self.accept("over"):
            left = ("/", left, self.additive())
        elif self.accept("choose"):
            left = ("f", "binom", (left, self.additive()))
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
        """Implicit product; an integer before a proper fraction is a mixed number, unless the fraction is bracketed."""
        written_as_fraction = self.sign not in ("(", "[")
        right = self._number_ahead(left) if self.kind == "number" else self.power()
        if is_integer(left) and written_as_fraction:
            mark, fraction = (right[0], right[1]) if right[0] in ("%", "°") else (None, right)
            if (mixed := mixed_number(left[1], fraction)) is not None:
                return (mark, mixed) if mark else mixed
        if right[0] == "seq" and left[0] == "v":
            return right  # a point with its name, A(1, 2)
        return multiply(left, right)

    def _number_ahead(self, left: Node) -> Node:
        """The 3/4 of 2 3/4, or a number after a factor that is none: the 3^2 of 2^4 3^2, the 6! of 2!6!."""
        before = self.tokens[self.position - 1].kind
        if before not in ("number", "word"):
            return self.power()
        if before == "number" and left[0] != "n" and not is_integer(left):
            return self._after_power()
        ahead = self.ahead(3)
        is_fraction = [token.kind for token in ahead] == ["number", "op", "number"] and ahead[1].value == "/"
        if not (is_integer(left) and is_fraction and self.spaced):
            raise Unparsable("two numbers side by side")
        top = self.atom_of_digits()
        self.expect("/")
        return ("/", top, self.atom_of_digits())

    def _after_power(self) -> Node:
        """A factor after a bare exponent (2^4 3^2).

        Raises:
            Unparsable: what stands before it is no power.
        """
        if self.tokens[self.position - 2].value != "^" or not self.spaced:
            raise Unparsable("two numbers side by side")
        return self.power()

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
        """An atom with what is written behind it: powers, factorials, percent and degree signs."""
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
            if self.sign == "!" and self._is_unequal(node):
                break
            mark = self.next()
            if mark == "!" and self.accept("!"):
                node = ("f", "!!", (node,))
            elif mark in CURRENCIES:
                self.currency = mark
            else:
                node = ({"percent": "%", "degree": "°"}.get(mark, mark), node)
        return node

    def _is_unequal(self, node: Node) -> bool:
        """Whether the ! belongs to `x != 4`; 5!=120 has a factorial."""
        after = self.tokens[self.position + 1]
        return after.value == "=" and not after.spaced and (self.spaced or node[0] == "v")

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

    def group(self) -> Node:
        """The content of braces; without braces, one token (one digit of a number)."""
        if self.kind == "number" and self.value.isdigit() and len(self.value) > 1:
            digit, rest = self.value[0], self.value[1:]
            self.tokens[self.position] = Token("number", rest, False)
            self.move_to(self.position)
            return ("n", int(digit), None)
        return self.primary()

    def primary(self) -> Node:
        """An atom: a number, a symbol, a word, or what the rule of its first sign reads."""
        kind = self.kind
        if kind == "number":
            return self.atom_of_digits()
        if kind == "letter":
            return self.symbol(self.next())
        if kind == "word":
            return ("v", self.next())
        sign = "begin" if kind == "begin" else self.sign
        rule = self.rules.get(sign)
        if rule is not None:
            return rule(self, self.next())
        if kind != "command":
            raise Unparsable(f"unexpected {self.value!r}")
        name = self.next()
        if name in SYMBOLS or self.sign not in ("{", "_", "^", "["):
            return self.symbol(name)
        raise UnknownCommand(f"unknown command \\{name}")

    def atom_of_digits(self) -> Node:
        digits = self.next()
        if self.sign == "_" and digits.isdigit():
            self.next()
            return ("base", digits, self.group())
        return number(digits)

    def symbol(self, name: str) -> Node:
        """A letter with its subscript and primes."""
        if name in _LETTERS and self.sign != "_":
            return _LETTERS[name]
        if self.accept("_"):
            name += "_" + self.raw()
        while self.sign in ("'", "prime"):
            self.next()
            name += "'"
        return ("v", name)

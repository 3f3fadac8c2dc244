"""Expressions: sums, products, powers, functions, fractions, roots."""

from fractions import Fraction

from grpo_plugin.scoring.mathematics.cursor import Cursor
from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.lexicon import DECORATIONS, FUNCTIONS, STOPS
from grpo_plugin.scoring.mathematics.nodes import Node, add, is_integer, mixed_number, multiply, negate, number
from grpo_plugin.scoring.mathematics.tokens import Token

CURRENCIES = frozenset("$€£¥₹¢")
_CONSTANTS = {"pi": ("c", "pi"), "infty": ("c", "infty"), "imath": ("c", "i")}
_LETTERS = {"e": ("c", "e"), "i": ("c", "i")}
_TEMPERATURES = {"C": "celsius", "Celsius": "celsius", "F": "fahrenheit", "Fahrenheit": "fahrenheit"}
_CIRCLES = ("circ", "o")
_TWO: Node = ("n", 2, None)
_SIGNS = frozenset(("+", "-", "pm", "mp"))
_POSTFIX = frozenset(("!", "%", "percent", "degree", *CURRENCIES))


class ArithmeticParser(Cursor):
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
        top = self._number()
        self.expect("/")
        return ("/", top, self._number())

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

    def group(self) -> Node:
        """What stands in braces; without braces, one token (one digit of a number)."""
        if self.sign != "{":
            return self._single()
        self.next()
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
        if self.kind == "number" and self.value.isdigit() and len(self.value) > 1:
            digit, rest = self.value[0], self.value[1:]
            self.tokens[self.position] = Token("number", rest, False)
            self.move_to(self.position)
            return ("n", int(digit), None)
        return self.primary()

    def primary(self) -> Node:
        kind = self.kind
        if kind == "number":
            return self._number()
        if kind == "letter":
            return self._symbol(self.next())
        if kind == "word":
            return ("v", self.next())
        if kind == "command":
            return self._command(self.next())
        return self.group() if self.sign == "{" else self.bracket()

    def bracket(self) -> Node:
        raise NotImplementedError

    def _number(self) -> Node:
        digits = self.next()
        if self.sign == "_" and digits.isdigit():
            self.next()
            return ("base", digits, self.group())
        return number(digits)

    def _symbol(self, name: str) -> Node:
        if name in _LETTERS and self.sign != "_":
            return _LETTERS[name]
        if self.accept("_"):
            name += "_" + self.raw()
        while self.sign in ("'", "prime"):
            self.next()
            name += "'"
        return ("v", name)

    def raw(self) -> str:
        """The text of the next group, for names: the n+1 of a_{n+1}."""
        if not self.accept("{"):
            return self.next()
        parts: list[str] = []
        depth = 1
        while not self.at_end:
            value = self.next()
            depth += (value == "{") - (value == "}")
            if depth == 0:
                return "".join(parts)
            parts.append(value)
        raise Unparsable("a group is not closed")

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
        if name in DECORATIONS:
            return self._symbol(name + " " + self.raw())
        return self.special(name)

    def special(self, name: str) -> Node:
        """A command that is none of arithmetic's own; a Greek letter in the end."""
        raise NotImplementedError

    def _root(self) -> Node:
        degree = _TWO
        if self.accept("["):
            degree = self.additive()
            self.expect("]")
        self.deeper()
        radicand = self.group() if self.sign == "{" else self.primary()
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
        if self.sign in ("(", "{", "[", "\\{"):
            argument = self.group() if self.sign == "{" else self.bracket()
            return tuple(argument[3]) if argument[0] == "seq" else (argument,)
        argument = negate(self.power()) if self.accept("-") else self.power()
        while self.starts_factor() and self.value not in FUNCTIONS:
            argument = multiply(argument, self.power())
        return (argument,)

"""What sums and products are made of: numbers, symbols, groups, fractions, roots, functions."""

from grpo_plugin.scoring.mathematics.cursor import Cursor
from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.lexicon import DECORATIONS, FUNCTIONS
from grpo_plugin.scoring.mathematics.nodes import Node, multiply, negate, number
from grpo_plugin.scoring.mathematics.tokens import Token

_CONSTANTS = {"pi": ("c", "pi"), "infty": ("c", "infty"), "imath": ("c", "i")}
_LETTERS = {"e": ("c", "e"), "i": ("c", "i")}
_TWO: Node = ("n", 2, None)


class AtomParser(Cursor):
    """Atoms by recursive descent; what they contain is read by the parsers built on this one."""

    def additive(self) -> Node:
        raise NotImplementedError

    def power(self) -> Node:
        raise NotImplementedError

    def exponent(self) -> Node:
        raise NotImplementedError

    def starts_factor(self) -> bool:
        raise NotImplementedError

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
            return self.number()
        if kind == "letter":
            return self.symbol(self.next())
        if kind == "word":
            return ("v", self.next())
        if kind == "command":
            return self._command(self.next())
        return self.group() if self.sign == "{" else self.bracket()

    def bracket(self) -> Node:
        raise NotImplementedError

    def number(self) -> Node:
        digits = self.next()
        if self.sign == "_" and digits.isdigit():
            self.next()
            return ("base", digits, self.group())
        return number(digits)

    def symbol(self, name: str) -> Node:
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
            return self.symbol(name + " " + self.raw())
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

"""Whole answers: lists of relations between expressions, sets and quantities."""

from fractions import Fraction

from grpo_plugin.scoring.mathematics import units
from grpo_plugin.scoring.mathematics.brackets import BracketParser
from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.nodes import Node
from grpo_plugin.scoring.mathematics.quantities import plus, quantity, read_units
from grpo_plugin.scoring.mathematics.tokens import Token

_SEPARATORS = frozenset((",", ";", "or", "and"))
_CLOSING = frozenset((")", "]", "\\}", "rangle", "}"))
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "le": "le", "ge": "ge", "ne": "ne", "in": "in", "approx": "=", "equiv": "=",
    ":": ":", "to": "=", "sim": "=", "Rightarrow": "=",
}  # fmt: skip
_OR_EQUAL = {"<": "le", ">": "ge"}
_SET_OPERATIONS = frozenset(("cup", "cap", "setminus"))


def parse(tokens: list[Token]) -> Node:
    """The one node that all tokens make.

    Raises:
        Unparsable: they are no answer this grammar knows.
    """
    parser = AnswerParser(tokens)
    node = parser.answer()
    if not parser.at_end:
        raise Unparsable(f"unexpected {parser.value!r}")
    return node


class AnswerParser(BracketParser):
    def answer(self) -> Node:
        """Items separated by commas or connectives; a single item stands for itself."""
        first = self.item()
        if self.sign not in _SEPARATORS:
            return first
        items, joints = [first], set()
        while self.sign in _SEPARATORS:
            joints.add(self.next())
            if self.sign in ("or", "and"):
                joints.add(self.next())
            if self.at_end or self.sign in _CLOSING:
                break
            items.append(self.item())
        if len(items) == 1:
            return first
        return ("list", tuple(items), next((joint for joint in ("or", "and") if joint in joints), ","))

    def item(self) -> Node:
        """A chain of relations, or one side alone."""
        first = self.side()
        if self.sign not in _RELATIONS:
            return first
        sides, operators = [first], []
        while self.sign in _RELATIONS:
            operator = _RELATIONS[self.next()]
            if operator in _OR_EQUAL and self.accept("="):
                operator = _OR_EQUAL[operator]
            operators.append(operator)
            sides.append(self.side())
        return ("rel", tuple(sides), tuple(operators))

    def side(self) -> Node:
        """An expression or a set, and the units behind it; several of one dimension add up (5 feet 6 inches)."""
        outer, self.currency = self.currency, None
        node = self._set_expression()
        if self.currency is not None:
            scale, unit = read_units(self)
            node = quantity(node, scale, units.product([units.read(self.currency), unit]))
        elif self.sign in ("pmod", "mod"):
            self.next()
            node = ("q", node, Fraction(1), ((f"mod {self.raw()}", 1),))
        elif self.kind == "word":
            node = quantity(node, *read_units(self))
            while self.kind == "number" and node[0] == "q":
                node = plus(node, self.side())
        self.currency = outer
        return node

    def _set_expression(self) -> Node:
        left = self.additive()
        while True:
            if self.sign in _SET_OPERATIONS:
                left = ("set", self.next(), left, self.additive())
            elif self.kind == "letter" and self.value == "U":
                self.next()
                left = ("set", "cup", left, self.additive())
            else:
                return left

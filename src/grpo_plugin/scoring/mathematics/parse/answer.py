"""Whole answers: lists of relations between expressions, sets and quantities."""

from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse import units
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.parser import Parser
from grpo_plugin.scoring.mathematics.parse.quantities import plus, quantity, read_units

_SEPARATORS = frozenset((",", ";", "or", "and"))
_CLOSING = frozenset((")", "]", "\\}", "rangle", "}", "&", "\\\\"))
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "le": "le", "ge": "ge", "ne": "ne", "in": "in", "approx": "approx", "equiv": "=",
    ":": ":", "to": "=", "sim": "approx", "Rightarrow": "=",
}  # fmt: skip
_OR_EQUAL = {"<": "le", ">": "ge"}
_SET_OPERATIONS = frozenset(("cup", "cap", "setminus"))


def answer(parser: Parser) -> Node:
    """Items separated by commas or connectives; a single item stands for itself."""
    first = item(parser)
    if parser.sign not in _SEPARATORS:
        return first
    items, joints, groups = [first], set(), [0]
    while parser.sign in _SEPARATORS:
        if parser.sign == ";":
            groups.append(len(items))
        joints.add(parser.next())
        if parser.sign in ("or", "and"):
            joints.add(parser.next())
        if parser.at_end or parser.sign in _CLOSING:
            break
        items.append(item(parser))
    if len(items) == 1:
        return first
    if {",", ";"} <= joints and len(groups) > 1:
        items = _grouped(items, groups)
    return ("list", tuple(items), next((joint for joint in ("or", "and") if joint in joints), ","))


def _grouped(items: list[Node], starts: list[int]) -> list[Node]:
    """`p=5,q=2;p=7,q=2` as two pairs; an item alone between semicolons stays as it is."""
    groups = [items[start:end] for start, end in zip(starts, [*starts[1:], len(items)], strict=True)]
    return [group[0] if len(group) == 1 else ("seq", "(", ")", tuple(group)) for group in groups if group]


def item(parser: Parser) -> Node:
    """A chain of relations, or one side alone."""
    first = side(parser)
    if parser.sign not in _RELATIONS and not _not_equal(parser):
        return first
    sides, operators = [first], []
    while (unequal := _not_equal(parser)) or parser.sign in _RELATIONS:
        if unequal:
            parser.next()
        operator = "ne" if unequal else _RELATIONS[parser.value]
        parser.next()
        if operator in _OR_EQUAL and parser.accept("="):
            operator = _OR_EQUAL[operator]
        operators.append(operator)
        sides.append(side(parser))
    return ("rel", tuple(sides), tuple(operators))


def _not_equal(parser: Parser) -> bool:
    """Whether `!=`, `\\not=` or `\\not\\in` begins here; factorials were taken with their number before."""
    return parser.sign in ("!", "not") and parser.tokens[parser.position + 1].value == "="


def side(parser: Parser) -> Node:
    """An expression or a set, and the units behind it; several of one dimension add up (5 feet 6 inches)."""
    outer, parser.currency = parser.currency, None
    node = _set_expression(parser)
    if parser.currency is not None:
        scale, unit = read_units(parser)
        node = quantity(node, scale, units.product([units.read(parser.currency), unit]))
    elif parser.sign in ("pmod", "mod"):
        parser.next()
        node = ("q", node, Fraction(1), ((f"mod {parser.raw()}", 1),))
    elif parser.kind == "word":
        node = quantity(node, *read_units(parser))
        while parser.kind == "number" and node[0] == "q":
            node = plus(node, side(parser))
    parser.currency = outer
    return node


def _as_set(node: Node) -> Node:
    """{1, 2} and {2} beside a union are sets, though their braces are those of a group."""
    if node[0] == "seq" and not node[1]:
        return ("seq", "\\{", "\\}", node[3])
    return ("seq", "\\{", "\\}", (node,)) if node[0] == "n" else node


def _set_expression(parser: Parser) -> Node:
    left = parser.additive()
    while True:
        if parser.sign in _SET_OPERATIONS:
            left = ("set", parser.next(), _as_set(left), _as_set(parser.additive()))
        elif parser.kind == "letter" and parser.value == "U":
            parser.next()
            left = ("set", "cup", _as_set(left), _as_set(parser.additive()))
        else:
            return left

"""Expressions as tuples, and the few constructors that simplify as they build.

The first item of a node names it:
    ("n", value, places)   number; `places` decimals were written, None for an integer
    ("v", name)            symbol            ("c", name)        e, i, pi or infty
    ("+", (a, b, …))       ("*", (a, b, …))  ("/", a, b)        ("^", a, b)        ("-", a)
    ("f", name, (a, …))    function          ("!", a)           ("%", a)           ("°", a)
    ("±", a, b)            a+b and a-b       ("base", digits, b)
and of whole answers:
    ("list", items, joint)          items joined by "," or "or" or "and"
    ("seq", open, close, items)     (1, 2), [1, 2), {1, 2}
    ("rel", (a, b, …), (op, …))     a op b op …, with op one of = < > le ge ne in :
    ("set", op, a, b)               union cup, intersection cap, difference setminus
    ("reals",) ("empty",)           ℝ and ∅
    ("mat", rows)                   rows of nodes
    ("q", value, factor, dims)      a number of units; dims is a sorted tuple of (dimension, power)
    ("time", seconds, ratio)        a time of day, and the ratio it may be instead, or None
    ("≈", value, decimal)           a value with its decimal approximation behind it
    ("text", words)
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable

Node = tuple[Any, ...]

MAX_DIGITS = 2_000
# The variable of a set {x | x > 2}, whatever it is called.
DUMMY: Node = ("v", "·")
_LEAVES = frozenset(("n", "c", "text", "time"))
# Nodes that are no scalars.
CONTAINERS = frozenset(("list", "seq", "set", "rel", "mat", "text", "time", "≈", "reals", "empty"))


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
    whole, _, decimals = mantissa.partition(".")
    value = Fraction(int(whole + decimals), 10 ** len(decimals)) * Fraction(10) ** shift
    return ("n", value, max(len(decimals) - shift, 0))


def is_integer(node: Node) -> bool:
    return node[0] == "n" and node[2] is None


def negate(node: Node) -> Node:
    return ("n", -node[1], node[2]) if node[0] == "n" else ("-", node)


def add(left: Node, right: Node) -> Node:
    return ("+", (*left[1], right)) if left[0] == "+" else ("+", (left, right))


def multiply(left: Node, right: Node) -> Node:
    return ("*", (*left[1], right)) if left[0] == "*" else ("*", (left, right))


def mixed_number(whole: int, fraction: Node) -> Node | None:
    """The value of 2 3/4; None where the fraction is not proper or not of integers."""
    if fraction[0] != "/" or not (is_integer(fraction[1]) and is_integer(fraction[2])):
        return None
    top, bottom = fraction[1][1], fraction[2][1]
    return ("/", ("n", whole * bottom + top, None), fraction[2]) if 0 < top < bottom else None


def children(node: Node) -> Iterator[Node]:
    """The nodes right below one of arithmetic's own."""
    for part in node[1:]:
        if isinstance(part, tuple) and part:
            if isinstance(part[0], tuple):
                yield from part
            else:
                yield part


def symbols(node: Node) -> set[str]:
    """The names of all symbols in an expression."""
    found: set[str] = set()
    _collect_symbols(node, found)
    return found


def _collect_symbols(node: Node, found: set[str]) -> None:
    kind = node[0]
    if kind == "v":
        found.add(node[1])
    elif kind not in _LEAVES:
        for part in node[1:]:
            if type(part) is tuple and part:
                if type(part[0]) is tuple:
                    for child in part:
                        _collect_symbols(child, found)
                else:
                    _collect_symbols(part, found)


def renamed(node: Any, names: Mapping[str, Node]) -> Any:
    """`node` with its symbols replaced by other nodes."""
    if not isinstance(node, tuple):
        return node
    if node[:1] == ("v",):
        return names.get(node[1], node)
    return tuple(renamed(part, names) for part in node)


def has_constant(node: Node, name: str) -> bool:
    """Whether e, i, pi or infty occurs in an expression."""
    kind = node[0]
    if kind == "c":
        return bool(node[1] == name)
    return kind not in ("n", "v", "text", "time") and any(has_constant(child, name) for child in children(node))

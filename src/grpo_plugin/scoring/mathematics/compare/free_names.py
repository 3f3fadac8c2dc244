"""Names that may be replaced by others: a constant of integration, the integer of a periodic solution."""

from typing import Any

from grpo_plugin.scoring.mathematics.parse.nodes import Node, has_constant, renamed, symbols

_CONSTANTS = frozenset(
    ("C", "c", "K", "k", "C_0", "C_1", "C_2", "C_3", "c_0", "c_1", "c_2", "c_3", "K_1", "K_2", "k_1", "k_2")
)
_VARIABLES = frozenset(("x", "y", "z", "t", "u", "v", "s", "r", "theta", "phi"))
# What i is called in Python and by engineers.
_IMAGINARY = ("I", "j")
_INTEGERS = frozenset(("k", "n", "m", "l", "K", "N", "p", "q"))


def with_names_of(gold: Node, answer: Node) -> Node | None:
    """`answer` with its free names replaced by those of `gold` (x^3+c for x^3+C), or None where they do not differ.

    A name is a free constant beside variables such as x alone, and a free integer in a multiple of π or of degrees
    alone: n+1 is not k+1, and a+b+c is not a+b+C. Beside a gold with i, the I of 2 + 3I is i.
    """
    golds, answers = symbols(gold), symbols(answer)
    if has_constant(gold, "i") and not has_constant(answer, "i"):
        unit = next((name for name in _IMAGINARY if name in answers - golds), None)
        return None if unit is None else renamed(answer, {unit: ("c", "i")})
    old, new = sorted(answers - golds), sorted(golds - answers)
    if not old or len(old) != len(new) or len(old) > 3:
        return None
    shared, names = golds & answers, {*old, *new}
    constant = names <= _CONSTANTS and shared and shared <= _VARIABLES | _CONSTANTS and shared & _VARIABLES
    integer = names <= _INTEGERS and len(old) == 1 and not shared and _is_periodic(gold) and _is_periodic(answer)
    names_of_gold = {name: ("v", other) for name, other in zip(old, new, strict=True)}
    return renamed(answer, names_of_gold) if constant or integer else None


def _is_periodic(node: Node) -> bool:
    return node[0] != "v" and (has_constant(node, "pi") or _has_degrees(node))


def _has_degrees(node: Any) -> bool:
    return isinstance(node, tuple) and (node[:1] == ("°",) or any(map(_has_degrees, node)))

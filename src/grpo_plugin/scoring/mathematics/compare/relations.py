"""Equations, named values (`x = 5`, `f(x) = 2x`), ratios."""

from collections.abc import Sequence
from fractions import Fraction

from grpo_plugin.scoring.mathematics.compare.exact import Rational, divide, exact
from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.compare.scalars import exact_or_none, same_scalar
from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, Node, renamed, symbols

_LABEL_FUNCTIONS = frozenset(("abs", "sin", "cos", "tan", "det", "max", "min", "gcd", "lcm", "arg", "dim", "Re", "Im"))
_FUNCTION_NAMES = frozenset("fghpqABCDEFGHIJKLMNOPQRSTUVWXYZ")


def assignment(node: Node) -> tuple[Node, Node] | None:
    """Name and value of `x = 5` or `f(x) = x^2`; of a chain of equations, the first and the last side."""
    if node[0] != "rel" or set(node[2]) != {"="}:
        return None
    name, value = node[1][0], node[1][-1]
    if value[0] == "v" and name[0] not in CONTAINERS and not symbols(name):
        name, value = value, name  # 5 = x
    named = name[0] in ("v", "q") or any(test(name) for test in (_is_call, _is_measured, _is_point, _is_derivative))
    if not named or (name[0] == "v" and _occurs(name[1], value)):
        return None
    return name, value


def _is_call(node: Node) -> bool:
    """`f(x)`, read as the product of f and x."""
    if node[0] != "*" or len(node[1]) != 2 or node[1][0][0] != "v":
        return False
    return node[1][0][1].rstrip("'") in _FUNCTION_NAMES


def _is_measured(node: Node) -> bool:
    """A segment or an angle by the names of its points: AB, \\angle ABC."""
    return node[0] == "*" and all(part[0] == "v" and part[1][-1].isupper() for part in node[1])


def _is_derivative(node: Node) -> bool:
    """dy/dx, read as a quotient of products."""
    return node[0] == "/" and all(part[0] == "*" and part[1][0] == ("v", "d") for part in node[1:])


def _is_point(node: Node) -> bool:
    """The (x, y) of (x, y) = (1, 2)."""
    return node[0] == "seq" and all(item[0] == "v" for item in node[3])


def _occurs(name: str, node: Node) -> bool:
    return node[0] not in CONTAINERS and name in symbols(node)


def same_label(gold: Node, answer: Node) -> bool:
    """The same name, or a function against y: f(x) = 2x and y = 2x say the same."""
    if gold == answer or gold[0] == "q" or answer[0] == "q":
        return True
    function = _is_call(gold) or _is_call(answer)
    return function and ("v", "y") in (gold, answer)


def in_argument_of(gold: Node, answer: tuple[Node, Node]) -> Node | None:
    """The value of f(t) = t + 1 in the argument of a gold f(x); None where the names or arguments do not allow it."""
    name, value = answer
    if not (_is_call(gold) and _is_call(name)) or gold[1][0] != name[1][0] or value[0] in CONTAINERS:
        return None
    argument, other = gold[1][1], name[1][1]
    variables = all(one[0] == "v" and one[1][0].islower() for one in (argument, other))
    if not variables or argument[1] in symbols(value):
        return None
    return renamed(value, {other[1]: argument})


def order_matters(golds: Sequence[Node], answers: Sequence[Node]) -> bool:
    """Whether one side names its values (a = 1, b = 2; not x_1 and x_2) and the other lists them."""
    for named, plain in ((golds, answers), (answers, golds)):
        names = [found[0] for node in named if (found := assignment(node)) and found[0][0] == "v"]
        letters = {name[1].partition("_")[0] for name in names}
        if len(letters) == len(named) > 1 and not any(node[0] == "rel" for node in plain):
            return True
    return False


def stated_value(node: Node) -> Node | None:
    """The value in `a + b = 5`, `|AB| = 5` or `2 + 3 = 5`: the last side of an equation that leaves nothing to solve.

    An equation such as 3x + 2y = 5 or a^2 + b^2 = 5 says nothing about 5, and x - y = 0 nothing about 0.
    """
    if node[0] != "rel" or set(node[2]) != {"="}:
        return None
    *sides, value = node[1]
    first = sides[0]
    if first[0] in CONTAINERS:
        return None
    names = symbols(first)
    if not names:
        return value if same_scalar(first, value) else None
    if any(not symbols(side) and same_scalar(side, value) for side in sides[1:] if side[0] not in CONTAINERS):
        return value  # a^2 + b^2 = 9 + 16 = 25
    if names & _value_symbols(value) or not is_label(first):
        return None
    return None if first[0] == "+" and exact_or_none(value) == 0 else value


def is_label(node: Node) -> bool:
    """What an answer may be asked for: |AB|, sin A, f(2), AB, a + b, xy, a/b; no polynomial or multiple of unknowns."""
    kind = node[0]
    if kind == "v" or _is_call(node):
        return True
    if kind == "f":
        return node[1] in _LABEL_FUNCTIONS
    if kind in ("+", "*"):
        return all(map(is_label, node[1]))
    if kind == "-":
        return is_label(node[1])
    if kind == "°":
        return is_label(node[1])
    return kind == "/" and is_label(node[1]) and is_label(node[2])


def _value_symbols(node: Node) -> set[str]:
    return set() if node[0] in CONTAINERS else symbols(node)


def same_equation(gold: Node, answer: Node) -> bool:
    """Two equations (or inequalities the same way round) whose sides differ by a constant factor."""
    one, other = _normal(gold), _normal(answer)
    if one is None or other is None or one[0] != other[0]:
        return False
    if symbols(one[1]) != symbols(other[1]):
        return False
    return any(
        same_scalar(one[1], ("*", (("n", factor, 0), other[1])))
        for factor in _factor_candidates(one[1], other[1])
        if factor > 0 or (factor and one[0] in ("=", "ne"))
    )


def _normal(node: Node) -> tuple[str, Node] | None:
    """`lhs op rhs` as (op, lhs - rhs), turned so that op is one of = ne > ge."""
    if node[0] != "rel" or len(node[2]) != 1:
        return None
    (left, right), operator = node[1], node[2][0]
    if any(side[0] in CONTAINERS or side[0] == "q" for side in (left, right)):
        return None
    if operator in ("<", "le"):
        left, right, operator = right, left, {"<": ">", "le": "ge"}[operator]
    if operator not in ("=", "ne", ">", "ge"):
        return None
    return operator, ("+", (left, ("-", right)))


def _factor_candidates(one: Node, other: Node) -> list[Rational]:
    """Factors that could turn `other` into `one`: their ratio at a point where both are rational, else 1 and -1."""
    names = sorted(symbols(one))
    values = {name: Fraction(7 * place + 3, 2 * place + 5) for place, name in enumerate(names)}
    try:
        return [divide(exact(one, values), exact(other, values))]
    except (NotExact, Undefined, TooBig):
        return [1, -1]


def is_ratio(node: Node) -> bool:
    return node[0] == "rel" and set(node[2]) == {":"}


def same_ratio(gold: Node, answer: Node) -> bool:
    """3:4 against 6:8, 3/4 or 0.75."""
    one, other = _parts(gold), _parts(answer)
    if one is None or other is None or len(one) != len(other):
        return False
    if any(exact_or_none(part) == 0 for part in (*one, *other)):
        return False  # a ratio with a zero matches itself alone
    return all(
        same_scalar(("*", (one[0], right)), ("*", (other[0], left)))
        for left, right in zip(one[1:], other[1:], strict=True)
    )


def _parts(node: Node) -> tuple[Node, ...] | None:
    if is_ratio(node):
        return tuple(node[1])
    return (node, ("n", 1, None)) if node[0] in ("n", "/", "-") else None

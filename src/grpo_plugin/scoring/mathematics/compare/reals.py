"""Sets of real numbers: intervals, unions, inequalities, solution sets.

A set is a sorted list of disjoint pieces (low, low_closed, high, high_closed); a single point is a piece of length 0.
Endpoints are mpmath numbers of 50 digits, or plus and minus infinity.
"""

from typing import Any, NamedTuple

from mpmath import inf, mpf

from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.compare.numeric import evaluate
from grpo_plugin.scoring.mathematics.compare.relations import is_label
from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, Node, symbols

_TOLERANCE = mpf(10) ** -40
_OPPOSITE = {"<": ">", ">": "<", "le": "ge", "ge": "le"}


class Piece(NamedTuple):
    low: Any
    low_closed: bool
    high: Any
    high_closed: bool


Pieces = list[Piece]
ALL = [Piece(-inf, False, inf, False)]


def to_reals(node: Node) -> Pieces | None:
    """The set a node describes, or None where it is none, or has an endpoint that is no number."""
    try:
        return _convert(node)
    except (NotExact, Undefined, TooBig):
        return None


def same_set(left: Pieces, right: Pieces) -> bool:
    """Whether two sets have the same pieces, endpoints to 40 digits."""
    return len(left) == len(right) and all(
        a.low_closed == b.low_closed
        and a.high_closed == b.high_closed
        and _same(a.low, b.low)
        and _same(a.high, b.high)
        for a, b in zip(left, right, strict=True)
    )


def _convert(node: Node) -> Pieces | None:
    kind = node[0]
    if kind == "reals":
        return ALL
    if kind == "empty":
        return []
    if kind == "seq":
        return _from_brackets(node)
    if kind == "set":
        return _from_operation(node)
    if kind == "rel":
        return _from_relation(node)
    if kind == "list":
        return _from_list(node)
    return None


def _from_brackets(node: Node) -> Pieces | None:
    _, opener, closer, items = node
    if opener == "\\{":
        points = [_value(item) for item in items]
        return _merged([Piece(point, True, point, True) for point in points])
    if len(items) != 2 or any(symbols(item) for item in items):
        return None
    low, high = _value(items[0]), _value(items[1])
    return [Piece(low, opener == "[", high, closer == "]")] if low < high else None


def _from_operation(node: Node) -> Pieces | None:
    left, right = _convert(node[2]), _convert(node[3])
    if left is None or right is None:
        return None
    if node[1] == "cup":
        return _merged(left + right)
    return intersect(left, right if node[1] == "cap" else _complement(right))


def _from_relation(node: Node) -> Pieces | None:
    """`x > 2`, `-1 < x <= 3`, `x != 2`, `x in (1, 2)`; the one symbol may have a linear factor."""
    _, sides, operators = node
    if operators == ("in",):
        return _convert(sides[1])
    sides = tuple(_as_symbol(side) for side in sides)
    names = set().union(*map(symbols, sides))
    if len(names) != 1 or not set(operators) <= {"<", ">", "le", "ge", "ne"}:
        return None
    pieces = ALL
    for left, operator, right in zip(sides, operators, sides[1:], strict=False):
        bounded = _without_bars(left, right, operator)
        solved = _solve(left, operator, right, next(iter(names))) if bounded is None else _convert(bounded)
        if solved is None:
            return None
        pieces = intersect(pieces, solved)
    return pieces


def _as_symbol(side: Node) -> Node:
    """The g(x) of 2 < g(x) < 3 as one unknown; |z| stays an absolute value of one."""
    if side[0] in ("v", "f") or side[0] in CONTAINERS or not is_label(side) or len(symbols(side)) < 2:
        return side
    return ("v", str(side))


def _without_bars(left: Node, right: Node, operator: str) -> Node | None:
    """|u| < c as -c < u < c, and |u| > c as u < -c or u > c; None where neither side is in bars."""
    if right[:2] == ("f", "abs") and operator in _OPPOSITE:
        left, right, operator = right, left, _OPPOSITE[operator]
    if left[:2] != ("f", "abs") or symbols(right) or operator not in _OPPOSITE:
        return None
    [inside], least = left[2], ("-", right)
    if operator in ("<", "le"):
        return ("rel", (least, inside, right), (operator, operator))
    return ("list", (("rel", (inside, least), (_OPPOSITE[operator],)), ("rel", (inside, right), (operator,))), "or")


def _from_list(node: Node) -> Pieces | None:
    """Conditions joined by "or" (union) or "and"; by a comma, whichever leaves something."""
    _, items, joint = node
    if any(item[0] not in ("rel", "set", "seq") or item[1:2] == ("\\{",) for item in items):
        return None
    sets = [_convert(item) for item in items]
    if any(pieces is None for pieces in sets):
        return None
    both, either = ALL, Pieces()
    for pieces in sets:
        both, either = intersect(both, pieces or []), either + (pieces or [])
    intervals = any(item[0] == "seq" for item in items)
    return _merged(either) if joint == "or" or intervals or (joint == "," and not both) else both


def _solve(left: Node, operator: str, right: Node, name: str) -> Pieces | None:
    """The solutions of one linear inequality in one symbol."""
    difference: Node = ("+", (left, ("-", right)))
    at = [evaluate(difference, {name: point}) for point in (0, 1, 2, 7)]
    slope = at[1] - at[0]
    if slope == 0 or any(abs(at[0] + slope * x - y) > _TOLERANCE * (1 + abs(y)) for x, y in ((2, at[2]), (7, at[3]))):
        return None
    bound = -at[0] / slope
    if operator == "ne":
        return _complement([Piece(bound, True, bound, True)])
    if slope < 0:
        operator = _OPPOSITE[operator]
    closed = operator in ("le", "ge")
    return [Piece(-inf, False, bound, closed)] if operator in ("<", "le") else [Piece(bound, closed, inf, False)]


def intersect(left: Pieces, right: Pieces) -> Pieces:
    pieces = [_overlap(one, other) for one in left for other in right]
    return _merged([piece for piece in pieces if piece is not None])


def _overlap(one: Piece, other: Piece) -> Piece | None:
    low, low_closed = max((one.low, not one.low_closed), (other.low, not other.low_closed))
    high, high_closed = min((one.high, one.high_closed), (other.high, other.high_closed))
    piece = Piece(low, not low_closed, high, high_closed)
    if _same(low, high):
        return piece if piece.low_closed and piece.high_closed else None
    return piece if low < high else None


def _complement(pieces: Pieces) -> Pieces:
    rest, low, closed = Pieces(), -inf, False
    for piece in pieces:
        if low < piece.low or (closed and not piece.low_closed):
            rest.append(Piece(low, closed, piece.low, not piece.low_closed))
        low, closed = piece.high, not piece.high_closed
    if low != inf:
        rest.append(Piece(low, closed, inf, False))
    return [piece for piece in rest if piece.low != -inf or piece.high != -inf]


def _merged(pieces: Pieces) -> Pieces:
    """Sorted, with pieces that touch made one."""
    merged = Pieces()
    for piece in sorted(pieces, key=lambda piece: (piece.low, not piece.low_closed)):
        last = merged[-1] if merged else None
        touches = last is not None and (
            piece.low < last.high or (_same(piece.low, last.high) and (piece.low_closed or last.high_closed))
        )
        if last is None or not touches:
            merged.append(piece)
        else:
            high, closed = max((last.high, last.high_closed), (piece.high, piece.high_closed))
            merged[-1] = Piece(last.low, last.low_closed, high, closed)
    return merged


def _value(node: Node) -> Any:
    if node == ("c", "infty"):
        return inf
    if node == ("-", ("c", "infty")):
        return -inf
    return evaluate(node, {})


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    return abs(one) != inf and abs(other) != inf and abs(one - other) <= _TOLERANCE * max(abs(one), abs(other), 1)

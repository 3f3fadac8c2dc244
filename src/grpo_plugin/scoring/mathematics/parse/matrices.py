"""Arithmetic of matrices and of vectors written as columns, carried out while an answer is read."""

from collections.abc import Sequence
from functools import reduce

from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, Node, add, multiply, negate

_MAX_POWER = 12
_MAX_DETERMINANT = 5
_TRANSPOSED = (("v", "T"), ("v", "top"), ("v", "intercal"))
# Nodes in the factors of a product: symbolic entries grow with each.
_MAX_WEIGHT = 2_000


def folded(node: Node) -> Node:
    """`node` with sums, products and small powers of matrices worked out, as far as their sizes allow."""
    kind = node[0]
    if kind in ("list", "rel"):
        return (kind, tuple(map(folded, node[1])), node[2])
    if kind == "-":
        inner = folded(node[1])
        return _each(negate, inner) if inner[0] == "mat" else node
    if kind == "+":
        return _fold(node, _sum)
    if kind == "*":
        return _fold(node, _product)
    if kind == "/":
        top = folded(node[1])
        return _each(lambda entry: ("/", entry, node[2]), top) if top[0] == "mat" else node
    if kind == "^":
        return _transposed(node) if node[2] in _TRANSPOSED else _power(node)
    if kind == "f" and node[1] in ("det", "abs") and node[2] and (matrix := folded(node[2][0]))[0] == "mat":
        return _determinant(matrix[1]) or node
    return node


def _fold(node: Node, combine: object) -> Node:
    parts = [folded(part) for part in node[1]]
    if not any(part[0] == "mat" for part in parts):
        return node
    result: Node | None = reduce(lambda left, right: left and combine(left, right), parts)  # type: ignore[operator]
    return node if result is None else result


def _each(change: object, matrix: Node) -> Node:
    return ("mat", tuple(tuple(change(entry) for entry in row) for row in matrix[1]))  # type: ignore[operator]


def _sum(left: Node, right: Node) -> Node | None:
    if left[0] != "mat" or right[0] != "mat" or _size(left) != _size(right):
        return None
    rows = zip(left[1], right[1], strict=True)
    return ("mat", tuple(tuple(map(add, one, other)) for one, other in rows))


def _product(left: Node, right: Node) -> Node | None:
    if left[0] != "mat" and right[0] != "mat":
        return multiply(left, right)
    for scalar, matrix in ((left, right), (right, left)):
        if scalar[0] != "mat":
            if scalar[0] in CONTAINERS:
                return None
            return _each(lambda entry, scalar=scalar: multiply(scalar, entry), matrix)
    width = _size(left)[1]
    if width != len(right[1]) or _size(right)[1] < 0 or _weight((left, right), _MAX_WEIGHT) > _MAX_WEIGHT:
        return None  # sizes that do not fit, or products that would grow beyond any use
    columns = list(zip(*right[1], strict=True))
    return ("mat", tuple(tuple(_dot(row, column) for column in columns) for row in left[1]))


def _dot(row: Sequence[Node], column: Sequence[Node]) -> Node:
    return reduce(add, map(multiply, row, column))


def _power(node: Node) -> Node:
    base, exponent = folded(node[1]), node[2]
    if base[0] != "mat" or exponent[0] != "n" or not 1 <= exponent[1] <= _MAX_POWER or exponent[2] is not None:
        return node
    result: Node | None = base
    for _ in range(exponent[1] - 1):
        result = _product(result, base) if result else None
    return node if result is None else result


def _transposed(node: Node) -> Node:
    """A matrix with rows and columns exchanged; a tuple as a column."""
    base = folded(node[1])
    if base[0] == "mat" and _size(base)[1] > 0:
        return ("mat", tuple(zip(*base[1], strict=True)))
    return ("mat", tuple((item,) for item in base[3])) if base[0] == "seq" and base[1] in ("(", "[") else node


def _determinant(rows: Sequence[Sequence[Node]]) -> Node | None:
    """By expansion along the first row; None for what is no small square matrix of scalars."""
    size = len(rows)
    if size > _MAX_DETERMINANT or any(len(row) != size or any(e[0] in CONTAINERS for e in row) for row in rows):
        return None
    if size == 1:
        return rows[0][0]
    terms: list[Node] = []
    for column, entry in enumerate(rows[0]):
        minor = _determinant([[*row[:column], *row[column + 1 :]] for row in rows[1:]])
        assert minor is not None
        term = multiply(entry, minor)
        terms.append(negate(term) if column % 2 else term)
    return reduce(add, terms)


def _weight(node: object, most: int) -> int:
    """The number of tuples in a node, counted until there are more than `most`."""
    count, left = 0, [node]
    while left and count <= most:
        current = left.pop()
        if isinstance(current, tuple):
            count += 1
            left.extend(current)
    return count


def _size(matrix: Node) -> tuple[int, int]:
    """Rows and columns; a ragged matrix has a size of its own."""
    widths = {len(row) for row in matrix[1]}
    return len(matrix[1]), widths.pop() if len(widths) == 1 else -1

"""Vectors written as sums of unit vectors: 2i + 3j - k, with hats or without."""

from typing import Any

from grpo_plugin.scoring.mathematics.compare.scalars import same_scalar
from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, Node, has_constant, symbols

_AXES = tuple(
    frozenset(f"{decoration}{letter}" for decoration in ("", "hat ", "vec ") for letter in (axis, f"{axis}math"))
    for axis in "ijk"
)
_NAMES = frozenset().union(*_AXES)
_ZERO: Node = ("n", 0, None)
_ONE: Node = ("n", 1, None)


def components(node: Node, size: int) -> tuple[Node, ...] | None:
    """The components of a sum of unit vectors of two or three dimensions; None for anything else."""
    if node[0] in CONTAINERS or not 2 <= size <= 3 or not symbols(node) & _NAMES:
        return None
    if has_constant(node, "i"):
        node = _with_axes(node, {("c", "i"): ("v", "i")})
    axes = _AXES[:size]
    unit_vectors = [("v", name) for axis in axes for name in axis]
    found = []
    for axis in axes:
        found.append(_with_axes(node, {unit: _ONE if unit[1] in axis else _ZERO for unit in unit_vectors}))
    used = [next((("v", name) for name in axis if name in symbols(node)), _ZERO) for axis in axes]
    total: Node = ("+", tuple(("*", (part, unit)) for part, unit in zip(found, used, strict=True)))
    return tuple(found) if same_scalar(node, total) else None


def _with_axes(node: Any, values: dict[tuple[str, str], Node]) -> Any:
    if not isinstance(node, tuple):
        return node
    if len(node) == 2 and node in values:
        return values[node]
    return tuple(_with_axes(part, values) for part in node)

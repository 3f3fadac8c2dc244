"""Whether an answer is equivalent to the gold answer: containers are taken apart, scalars go to `scalars`."""

from collections.abc import Sequence
from fractions import Fraction

from grpo_plugin.scoring.mathematics.compare import relations
from grpo_plugin.scoring.mathematics.compare.free_names import with_names_of
from grpo_plugin.scoring.mathematics.compare.reals import same_set, to_reals
from grpo_plugin.scoring.mathematics.compare.scalars import approximates, exact_or_none, same_scalar
from grpo_plugin.scoring.mathematics.compare.vectors import components
from grpo_plugin.scoring.mathematics.parse.nodes import CONTAINERS, DUMMY, Node, has_constant, symbols
from grpo_plugin.scoring.mathematics.parse.units import GENERIC, is_dimension

_MAX_ITEMS = 200
_NUMBERS = ("n", "%", "°")
_MARKS = ("%", "°")
_HALF_DAY, _AFTER_NOON = 12 * 3600, 13 * 3600
_HALF_OPEN = {("(", "]"), ("[", ")")}


def same(gold: Node, answer: Node) -> bool:
    """Whether `answer` (both as `canonical` gives them) is equivalent to `gold`."""
    if gold == answer:
        return True
    gold, answer = _said_once(gold), _said_once(answer)
    if gold[0] == "≈" or answer[0] == "≈":
        return any(same(one, other) for one in _alternatives(gold) for other in _alternatives(answer))
    if gold[0] == "time" or answer[0] == "time":
        return _same_time(gold, answer)
    if gold[0] == "rel" or answer[0] == "rel":
        return _same_relation(gold, answer)
    if gold[0] == "q" or answer[0] == "q":
        return _same_quantity(gold, answer)
    if gold[0] in CONTAINERS or answer[0] in CONTAINERS:
        return _same_container(gold, answer)
    return _same_value(gold, answer)


def _said_once(node: Node) -> Node:
    """1/2 or 0.5, which state one value, as the first."""
    if node[0] != "list" or node[2] != "or":
        return node
    first, *others = node[1]
    return first if all(same(first, other) for other in others) else node


def _alternatives(node: Node) -> tuple[Node, ...]:
    """A value, and its decimal approximation where that is one: 1/4 ≈ 0.25 states both, 1/4 ≈ 7 the first alone."""
    if node[0] != "≈":
        return (node,)
    _, value, decimal = node
    exact = relations.assignment(value)
    return (value, decimal) if approximates(decimal, exact[1] if exact else value) else (value,)


def _same_time(gold: Node, answer: Node) -> bool:
    """Two times of day are compared as times; 6:15 against 2:5 is a ratio; 3:00 p.m. is the time of a gold 3:00."""
    if gold[0] == answer[0]:
        unsaid = gold[2] is not None and answer[2] is None and gold[1] < _AFTER_NOON
        return bool((gold[1] - answer[1]) % (_HALF_DAY if unsaid else 2 * _HALF_DAY) == 0)
    ratios = [node[2] if node[0] == "time" else node for node in (gold, answer)]
    return all(ratios) and same(*ratios)


def _same_relation(gold: Node, answer: Node) -> bool:
    if _is_membership(gold) or _is_membership(answer):
        return same(*(node[1][1] if _is_membership(node) else node for node in (gold, answer)))
    gold_named, answer_named = relations.assignment(gold), relations.assignment(answer)
    if gold_named and answer_named:
        if relations.same_label(gold_named[0], answer_named[0]):
            return same(gold_named[1], answer_named[1])
        if (value := relations.in_argument_of(gold_named[0], answer_named)) is not None:
            return same(gold_named[1], value)
        return relations.same_equation(gold, answer)
    if gold[0] == "rel" and answer[0] == "rel" and relations.same_equation(gold, answer):
        return True
    if answer_named and gold[0] != "rel":
        return same(gold, answer_named[1])
    if gold_named and answer[0] != "rel":
        return same(gold_named[1], answer)
    if relations.is_ratio(gold) or relations.is_ratio(answer):
        return relations.same_ratio(gold, answer)
    if gold[0] != "rel" and (value := relations.stated_value(answer)) is not None and same(gold, value):
        return True
    if answer[0] != "rel" and (value := relations.stated_value(gold)) is not None and same(value, answer):
        return True
    return _same_reals(gold, answer)


def _is_membership(node: Node) -> bool:
    r"""x \\in \\{1, 2\\}."""
    return node[0] == "rel" and node[2] == ("in",) and node[1][0][0] == "v"


def _same_quantity(gold: Node, answer: Node) -> bool:
    """Both with units: same dimension and the same amount; one without: the same number."""
    if gold[0] in CONTAINERS or answer[0] in CONTAINERS:
        return False
    if gold[0] in _MARKS or answer[0] in _MARKS:
        return _of_one_mark(gold, answer)
    if gold[0] == "base" or answer[0] == "base":
        return False
    if gold[0] != "q" or answer[0] != "q":
        return _same_value(gold[1] if gold[0] == "q" else gold, answer[1] if answer[0] == "q" else answer)
    if gold[3] != answer[3] and not _overlapping(gold[3], answer[3]) and not _generic(gold[3], answer[3]):
        return False
    if gold[2] == answer[2]:
        return _same_value(gold[1], answer[1])
    return same_scalar(_scaled(gold), _scaled(answer))


def _of_one_mark(gold: Node, answer: Node) -> bool:
    """Whether degrees equal radians or a temperature; other marks and units (per cent and feet) are never equal."""
    marked, other = (gold, answer) if gold[0] in _MARKS else (answer, gold)
    if marked[0] != "°" or len(other[3]) != 1:
        return False
    dimension = other[3][0][0]
    if dimension in ("celsius", "fahrenheit"):
        return _same_value(marked[1], other[1])
    return dimension == "radian" and _same_value(marked, other[1])


def _overlapping(gold: Sequence[tuple[str, int]], answer: Sequence[tuple[str, int]]) -> bool:
    """Whether one unit only adds words to the other (red apples, apples), none of them a unit of measure."""
    if not gold or not answer or not (set(gold) <= set(answer) or set(answer) <= set(gold)):
        return False
    return not any(is_dimension(name) for name, _ in set(gold) ^ set(answer))


def _generic(*dimensions: Sequence[tuple[str, int]]) -> bool:
    """Units and square units of no measure."""
    return all(name == GENERIC for names in dimensions for name, _ in names)


def _scaled(quantity: Node) -> Node:
    return ("*", (quantity[1], ("n", quantity[2], 0)))


def _same_value(gold: Node, answer: Node) -> bool:
    """Scalars, with 50% as 0.5 or 50, and 90° as 90 or, against a multiple of π, as radians."""
    if "base" in (gold[0], answer[0]) and (gold[0] in _MARKS or answer[0] in _MARKS):
        return False
    if same_scalar(gold, answer):
        return True
    if gold[0] not in _NUMBERS and answer[0] not in _NUMBERS and (renamed := with_names_of(gold, answer)) is not None:
        return same_scalar(gold, renamed)
    if "%" in (gold[0], answer[0]) and "°" in (gold[0], answer[0]):
        return False
    if gold[0] == "%" and answer[0] != "%" and same_scalar(gold[1], answer):
        return True
    if answer[0] == "%" and gold[0] != "%" and same_scalar(answer[1], gold) and not _is_small(gold):
        return True
    for one, other in ((gold, answer), (answer, gold)):
        if one[0] == "°" and other[0] != "°" and has_constant(other, "pi"):
            radians: Node = ("*", (one[1], ("n", Fraction(1, 180), 0), ("c", "pi")))
            return same_scalar(radians, other)
    return False


def _is_small(node: Node) -> bool:
    """At most 1: as the gold answer, such a number is a share already, and 0.25 is not 0.25%."""
    value = exact_or_none(node)
    return value is not None and -1 <= value <= 1


def _same_container(gold: Node, answer: Node) -> bool:
    if "text" in (gold[0], answer[0]):
        return False
    if gold[0] == "mat" or answer[0] == "mat":
        return _same_matrix(_rows(gold), _rows(answer)) or _same_column(gold, answer)
    gold_items, answer_items = _items(gold), _items(answer)
    if gold_items is not None and answer_items is not None and _same_items(gold, answer, gold_items, answer_items):
        return True
    if (gold_items is None) != (answer_items is None) and _same_vector(gold, answer):
        return True
    single = gold_items or answer_items
    if single is not None and len(single) == 1 and (gold_items is None or answer_items is None):
        pair = (gold if gold_items is None else gold_items[0], answer if answer_items is None else answer_items[0])
        if same(*pair):
            return True
    return _same_reals(gold, answer)


def _same_reals(gold: Node, answer: Node) -> bool:
    """Sets of reals, at least one of them written as more than two numbers in brackets."""
    if gold[0] == "seq" and answer[0] == "seq":
        return False
    names, others = ({*symbols(node)} - {DUMMY[1]} for node in (gold, answer))
    if names and others and not names & others:
        return False  # x > 2 says nothing about y
    left, right = to_reals(gold), to_reals(answer)
    return left is not None and right is not None and same_set(left, right)


def _same_vector(gold: Node, answer: Node) -> bool:
    """A vector by its components, and a sum of unit vectors."""
    vector, total = (gold, answer) if _items(gold) is not None else (answer, gold)
    items = _items(vector)
    if items is None or _bracket(vector) == "\\{" or (parts := components(total, len(items))) is None:
        return False
    return _in_order(items, parts)


def _rows(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """The rows of a matrix, of rows in brackets, or of a vector in brackets as one column."""
    if node[0] == "mat":
        return tuple(node[1])
    if node[0] != "seq" or node[1] == "\\{":
        return None
    if all(item[0] == "seq" and item[1] == "[" for item in node[3]):
        return tuple(item[3] for item in node[3])
    return tuple((item,) for item in node[3])


def _same_matrix(gold: tuple[tuple[Node, ...], ...] | None, answer: tuple[tuple[Node, ...], ...] | None) -> bool:
    if gold is None or answer is None or len(gold) != len(answer):
        return False
    return all(_in_order(one, other) for one, other in zip(gold, answer, strict=True))


def _same_column(gold: Node, answer: Node) -> bool:
    """A matrix of one column or one row, and a sum of unit vectors."""
    matrix, total = (gold, answer) if gold[0] == "mat" else (answer, gold)
    rows = matrix[1] if len(matrix[1]) > 1 else tuple(zip(*matrix[1], strict=True))
    parts = components(total, len(rows)) if all(len(row) == 1 for row in rows) else None
    return parts is not None and _in_order([row[0] for row in rows], parts)


def _items(node: Node) -> tuple[Node, ...] | None:
    if node[0] == "list":
        return tuple(node[1])
    if node[0] == "seq":
        return tuple(node[3])
    return () if node[0] == "empty" else None


def _same_items(gold: Node, answer: Node, golds: Sequence[Node], answers: Sequence[Node]) -> bool:
    """Tuples in order, sets in any order; a list without brackets goes with either."""
    kinds = {_bracket(gold), _bracket(answer)}
    if max(len(golds), len(answers)) > _MAX_ITEMS:
        return False
    if "\\{" in kinds:
        return kinds <= {"\\{", ""} and _each_in(golds, answers) and _each_in(answers, golds)
    if kinds == {""} and all(item[0] == "seq" for item in (*golds, *answers)):
        return _each_in(golds, answers) and _each_in(answers, golds)  # points, each counted once
    if len(golds) != len(answers):
        return False
    if kinds == {""} and not relations.order_matters(golds, answers):
        return _in_any_order(golds, answers)
    if "" in kinds and {gold[1:3], answer[1:3]} & _HALF_OPEN:
        return False
    if "" not in kinds and (gold[1:3] != answer[1:3] and not _plain_lists(gold, answer)):
        return False
    return _in_order(golds, answers)


def _bracket(node: Node) -> str:
    return node[1] if node[0] == "seq" else "\\{" if node[0] == "empty" else ""


def _plain_lists(gold: Node, answer: Node) -> bool:
    """Three or more items: brackets of either kind are a vector, not an interval."""
    return len(gold[3]) > 2 and {gold[1], answer[1]} <= {"(", "["}


def _in_order(golds: Sequence[Node], answers: Sequence[Node]) -> bool:
    return len(golds) == len(answers) and all(map(same, golds, answers))


def _each_in(some: Sequence[Node], others: Sequence[Node]) -> bool:
    return all(any(same(one, other) for other in others) for one in some)


def _in_any_order(golds: Sequence[Node], answers: Sequence[Node]) -> bool:
    left = list(answers)
    for gold in golds:
        match = next((index for index, answer in enumerate(left) if same(gold, answer)), None)
        if match is None:
            return False
        del left[match]
    return True

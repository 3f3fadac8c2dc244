"""Grammar rules for brackets: tuples, intervals, sets, absolute values, matrices, stacks of lines."""

from grpo_plugin.scoring.mathematics.parse.answer import answer
from grpo_plugin.scoring.mathematics.parse.lexicon import CONDITION_WORDS, MATRICES, STACKS
from grpo_plugin.scoring.mathematics.parse.nodes import DUMMY, Node, renamed
from grpo_plugin.scoring.mathematics.parse.parser import Parser, Rule
from grpo_plugin.scoring.mathematics.parse.unparsable import UnknownCommand, Unparsable

_CLOSERS = {
    "(": (")", "]"), "[": ("]", ")"), "langle": ("rangle",), "lfloor": ("rfloor",), "lceil": ("rceil",),
}  # fmt: skip
_BARS = ("|", "vert", "\\|")


def _braces(parser: Parser, opener: str) -> Node:
    """A group of LaTeX; with commas, a set or a tuple whose brackets were forgotten."""
    node = answer(parser)
    parser.expect("}")
    return ("seq", "", "", node[1]) if node[0] == "list" else node


def _bracket(parser: Parser, opener: str) -> Node:
    """Parentheses, tuples, intervals, floors."""
    parser.deeper()
    outer, parser.bars = parser.bars, 0
    content = answer(parser)
    close = parser.next()
    if close not in _CLOSERS[opener]:
        raise Unparsable(f"{opener!r} closed by {close!r}")
    parser.bars = outer
    parser.depth -= 1
    if content[0] == "list":
        return ("seq", "(", ")", content[1]) if opener == "langle" else ("seq", opener, close, content[1])
    if opener in ("lfloor", "lceil"):
        return ("f", {"lfloor": "floor", "lceil": "ceil"}[opener], (content,))
    return content


def _absolute(parser: Parser, opener: str) -> Node:
    parser.deeper()
    parser.bars += 1
    node: Node = ("f", "abs", (parser.additive(),))
    parser.expect(opener)
    parser.bars -= 1
    parser.depth -= 1
    return node


def _set(parser: Parser, opener: str) -> Node:
    """{1, 2}, {}, {x | x > 2} or {x : x > 2}; a set described by a condition is the condition."""
    if parser.accept("\\}"):
        return ("empty",)
    parser.deeper()
    outer, parser.bars = parser.bars, _lone_bars(parser)
    content = answer(parser)
    if parser.sign in ("|", "mid"):
        parser.next()
        content = _such_that(content, answer(parser))
    elif content[0] == "rel":
        content = _after_colon(content)
    else:
        content = ("seq", "\\{", "\\}", content[1] if content[0] == "list" else (content,))
    parser.expect("\\}")
    parser.bars = outer
    parser.depth -= 1
    return content


def _lone_bars(parser: Parser) -> int:
    """1 where an odd number of bars stands before the closing brace: one of them says `such that`."""
    bars = 0
    for token in parser.tokens[parser.position :]:
        if token.value == "\\}":
            break
        bars += token.value == "|"
    return bars % 2


def _after_colon(relation: Node) -> Node:
    """{x : condition}, read so far as the chain x : condition."""
    _, sides, operators = relation
    if ":" not in operators:
        return relation
    cut = operators.index(":") + 1
    named: Node = sides[0] if cut == 1 else ("rel", sides[:cut], operators[: cut - 1])
    return _such_that(named, ("rel", sides[cut:], operators[cut:]) if operators[cut:] else sides[cut])


def _such_that(named: Node, condition: Node) -> Node:
    """{x | condition}, with `x in R` before the bar adding nothing.

    Raises:
        Unparsable: a formula stands before the bar.
    """
    if named[0] == "v":
        return renamed(condition, {named[1]: DUMMY})
    if named[0] == "rel" and named[2] == ("in",):
        if named[1][0][0] == "v":
            named, condition = (renamed(node, {named[1][0][1]: DUMMY}) for node in (named, condition))
        return condition if named[1][1] == ("reals",) else ("list", (named, condition), "and")
    raise Unparsable("a set described by a formula")


def _environment(parser: Parser, name: str) -> Node:
    """A matrix, a determinant, or lines that belong together; of `cases`, each piece with its condition."""
    if name not in MATRICES and name not in STACKS:
        raise UnknownCommand(f"unknown environment {name!r}")
    if name == "array" and parser.sign == "{":
        parser.raw()
    parser.deeper()
    outer, parser.bars = parser.bars, 0
    rows = _rows(parser, name in STACKS)
    parser.bars = outer
    parser.depth -= 1
    if not rows:
        raise Unparsable("an empty environment")
    if name in STACKS:
        return ("list", tuple(_line(row) for row in rows), "and")
    matrix: Node = ("mat", tuple(tuple(row) for row in rows))
    return ("f", "det", (matrix,)) if name in ("vmatrix", "Vmatrix") else matrix


def _rows(parser: Parser, stacked: bool) -> list[list[Node]]:
    """Cells separated by &, rows by \\\\; an empty row at the end does not count."""
    rows: list[list[Node]] = [[]]
    while parser.kind != "end":
        if parser.accept("\\\\"):
            rows.append([])
        elif not (parser.accept("&") or parser.accept("hline")):
            while stacked and rows[-1] and parser.value in CONDITION_WORDS and not _closes_cell(parser):
                parser.next()
            rows[-1].append(answer(parser))
    parser.next()
    return [row for row in rows if row]


def _closes_cell(parser: Parser) -> bool:
    """Whether the current word is all that is left of its cell: `otherwise` alone is a condition."""
    after = parser.tokens[parser.position + 1]
    return after.kind == "end" or after.value in ("\\\\", "&", ",", ".")


def _line(cells: list[Node]) -> Node:
    return cells[0] if len(cells) == 1 else ("seq", "(", ")", tuple(cells))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_CLOSERS, _bracket),
    **dict.fromkeys(_BARS, _absolute),
    "{": _braces,
    "\\{": _set,
    "begin": _environment,
}

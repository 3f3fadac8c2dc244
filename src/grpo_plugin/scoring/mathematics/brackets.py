"""What stands in brackets: tuples, intervals, sets, absolute values, matrices."""

from grpo_plugin.scoring.mathematics.arithmetic import CURRENCIES, ArithmeticParser
from grpo_plugin.scoring.mathematics.errors import UnknownCommand, Unparsable
from grpo_plugin.scoring.mathematics.lexicon import BIG_OPERATORS, MATRICES, STACKS, SYMBOLS
from grpo_plugin.scoring.mathematics.nodes import Node

_CLOSERS = {
    "(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "langle": ("rangle",), "lfloor": ("rfloor",),
    "lceil": ("rceil",),
}  # fmt: skip
_BARS = ("|", "vert", "\\|")
_NUMBER_SETS: dict[str, Node] = {"mathbb R": ("reals",), "Bbb R": ("reals",), "R": ("reals",)}


class BracketParser(ArithmeticParser):
    def answer(self) -> Node:
        raise NotImplementedError

    def primary(self) -> Node:
        if self.kind == "begin":
            return self._environment(self.next())
        command = self.kind == "command"
        node = super().primary()
        return _NUMBER_SETS.get(node[1], node) if command and node[0] == "v" else node

    def special(self, name: str) -> Node:
        if name in _CLOSERS or name in _BARS:
            self.move_to(self.position - 1)
            return self.bracket()
        if name == "emptyset":
            return ("empty",)
        if name in CURRENCIES:
            self.currency = name
            return self.primary()
        if name in BIG_OPERATORS:
            return self._big_operator(name)
        if name in SYMBOLS or self.sign not in ("{", "_", "^", "["):
            return self.symbol(name)
        raise UnknownCommand(f"unknown command \\{name}")

    def _big_operator(self, name: str) -> Node:
        """`\\sum_{k=1}^{n} k^2` as its name with its bounds, and its body."""
        bounds = []
        while self.sign in ("_", "^"):
            bounds.append(self.next() + self.raw())
        return ("f", " ".join([name, *sorted(bounds)]), (self.term(),))

    def contents(self) -> Node:
        """What stands in braces; with commas, a set whose backslashes were forgotten."""
        node = self.answer()
        return ("seq", "\\{", "\\}", node[1]) if node[0] == "list" else node

    def bracket(self) -> Node:
        """Parentheses, tuples, intervals, sets, absolute values."""
        opener = self.sign
        if opener not in _CLOSERS and opener not in _BARS:
            raise Unparsable(f"unexpected {self.value!r}")
        self.next()
        self.deeper()
        outer = self.bars
        if opener in _BARS:
            self.bars += 1
            node: Node = ("f", "abs", (self.additive(),))
            self.expect(opener)
        else:
            self.bars = self._lone_bars() if opener == "\\{" else 0
            node = self._set() if opener == "\\{" else self._inside(opener)
        self.bars = outer
        self.depth -= 1
        return node

    def _inside(self, opener: str) -> Node:
        content = self.answer()
        close = self.next()
        if close not in _CLOSERS[opener]:
            raise Unparsable(f"{opener!r} closed by {close!r}")
        if content[0] == "list":
            return ("seq", "(", ")", content[1]) if opener == "langle" else ("seq", opener, close, content[1])
        if opener in ("lfloor", "lceil"):
            return ("f", {"lfloor": "floor", "lceil": "ceil"}[opener], (content,))
        return content

    def _set(self) -> Node:
        """{1, 2}, {}, {x | x > 2} or {x : x > 2}; a set described by a condition is the condition."""
        if self.accept("\\}"):
            return ("empty",)
        content = self.answer()
        if self.sign in ("|", "mid"):
            self.next()
            content = _such_that(content, self.answer())
        elif content[0] == "rel":
            content = _after_colon(content)
        else:
            content = ("seq", "\\{", "\\}", content[1] if content[0] == "list" else (content,))
        self.expect("\\}")
        return content

    def _lone_bars(self) -> int:
        """1 where an odd number of bars stands before the closing brace: one of them says `such that`."""
        bars = 0
        for token in self.tokens[self.position :]:
            if token.value == "\\}":
                break
            bars += token.value == "|"
        return bars % 2

    def _environment(self, name: str) -> Node:
        if name not in MATRICES and name not in STACKS:
            raise UnknownCommand(f"unknown environment {name!r}")
        if name == "array" and self.sign == "{":
            self.raw()
        self.deeper()
        outer, self.bars = self.bars, 0
        rows = self._rows()
        self.bars = outer
        self.depth -= 1
        if name in STACKS:
            return ("list", tuple(cell for row in rows for cell in row), "and")
        matrix: Node = ("mat", tuple(tuple(row) for row in rows))
        return ("f", "det", (matrix,)) if name in ("vmatrix", "Vmatrix") else matrix

    def _rows(self) -> list[list[Node]]:
        """Cells parted by &, rows by \\\\; an empty row at the end does not count."""
        rows: list[list[Node]] = [[]]
        while self.kind != "end":
            if self.accept("\\\\"):
                rows.append([])
            elif not (self.accept("&") or self.accept("hline")):
                rows[-1].append(self.answer())
        self.next()
        return [row for row in rows if row]


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
        return condition
    if named[0] == "rel" and named[2] == ("in",):
        return condition if named[1][1] == ("reals",) else ("list", (named, condition), "and")
    raise Unparsable("a set described by a formula")

"""Whole answers: lists, relations, sets, intervals, tuples, matrices, quantities.

Nodes beyond those of `arithmetic`:
    ("list", items, joint)          items joined by "," or "or" or "and"
    ("seq", open, close, items)     (1, 2), [1, 2), {1, 2}
    ("rel", (a, b, …), (op, …))     a op b op …, with op one of = < > le ge ne in approx :
    ("set", op, a, b)               union cup, intersection cap, difference setminus
    ("reals",) ("empty",)           ℝ and ∅
    ("mat", rows)                   rows of nodes
    ("q", value, factor, dims)      a number of units; dims is a sorted tuple of (dimension, power)
    ("text", words)
"""

from fractions import Fraction

from grpo_plugin.scoring.mathematics import units
from grpo_plugin.scoring.mathematics.arithmetic import CURRENCIES, ArithmeticParser, Node
from grpo_plugin.scoring.mathematics.errors import Unparsable
from grpo_plugin.scoring.mathematics.tokens import Token

_SEPARATORS = (",", ";", "or", "and")
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "le": "le", "ge": "ge", "ne": "ne", "in": "in", "approx": "=", "equiv": "=",
    ":": ":", "to": "=", "sim": "=", "Rightarrow": "=",
}  # fmt: skip
_CLOSERS = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "langle": ("rangle",), "lfloor": ("rfloor",),
            "lceil": ("rceil",)}  # fmt: skip
_MATRICES = frozenset("matrix pmatrix bmatrix Bmatrix smallmatrix array vmatrix Vmatrix".split())
_STACKS = frozenset("cases aligned align gathered split".split())
_NUMBER_SETS = {"R": ("reals",)}
_MAX_UNIT_WORDS = 5


def parse(tokens: list[Token]) -> Node:
    """The one node that all tokens make.

    Raises:
        Unparsable: they are no answer this grammar knows.
    """
    parser = AnswerParser(tokens)
    node = parser.answer()
    if parser.position < len(tokens):
        raise Unparsable(f"unexpected {parser.token.value!r}")
    return node


class AnswerParser(ArithmeticParser):
    def answer(self) -> Node:
        """Items separated by commas or connectives; a single item stands for itself."""
        items, joints = [self.item()], set()
        while self.at(*_SEPARATORS):
            joint = self.next().value
            joints.add("," if joint == ";" else joint)
            if joint in (",", ";") and self.at("or", "and"):
                joints.add(self.next().value)
            if self._closing():
                break
            items.append(self.item())
        if len(items) == 1:
            return items[0]
        return ("list", tuple(items), next((joint for joint in ("or", "and") if joint in joints), ","))

    def _closing(self) -> bool:
        return self.position >= len(self.tokens) or self.at(")", "]", "\\}", "rangle", "}")

    def item(self) -> Node:
        """A chain of relations, or one side alone."""
        sides, operators = [self.side()], []
        while self.token.value in _RELATIONS and self.token.kind != "letter":
            operator = _RELATIONS[self.next().value]
            if operator in ("<", ">") and self.accept("="):
                operator = {"<": "le", ">": "ge"}[operator]
            operators.append(operator)
            sides.append(self.side())
        return ("rel", tuple(sides), tuple(operators)) if operators else sides[0]

    def side(self) -> Node:
        """An expression or a set, and the units behind it; several of one dimension add up (5 feet 6 inches)."""
        outer, self.currency = self.currency, None
        node = self._union()
        if self.currency is not None:
            scale, unit = self._units()
            node = quantity(node, scale, units.product([units.read(self.currency), unit]))
        elif self.token.kind == "word" or (self.token.value == "^" and node[0] == "°"):
            node = quantity(node, *self._units())
            while self.token.kind == "number" and node[0] == "q":
                node = _sum(node, self.side())
        self.currency = outer
        return node

    def _union(self) -> Node:
        left = self.additive()
        while True:
            if self.token.kind == "letter" and self.token.value == "U":
                self.next()
                left = ("set", "cup", left, self.additive())
            elif self.at("cup", "cap", "setminus", "\\\\"):
                if self.at("\\\\"):
                    return left
                left = ("set", self.next().value, left, self.additive())
            else:
                return left

    def _units(self) -> tuple[int, units.Unit]:
        """Words behind a value: their scale (`million`), and one unit (`km/h`, `square feet`, `miles per hour`)."""
        factors: list[units.Unit] = []
        scale, sign, square = 1, 1, 1
        while len(factors) < _MAX_UNIT_WORDS:
            if self.token.kind == "word" or (factors and self.token.kind == "letter"):
                word = self.next().value
                if word in ("square", "sq", "cubic", "cu"):
                    square = 3 if word.startswith("cu") else 2
                    self.accept(".")
                elif word == "per":
                    sign = -1
                elif word.lower() in units.SCALES:
                    scale *= units.SCALES[word.lower()]
                else:
                    factors.append(units.power(units.read(word), sign * square * self._unit_power()))
                    square = 1
            elif factors and self.accept("/"):
                sign = -1
            elif not (factors and self.accept("times", "-", "*", ".")):
                break
        if self.token.kind == "word":
            raise Unparsable("too many words for a unit")
        return scale, units.product(factors)

    def contents(self) -> Node:
        """What stands in braces; with commas, a set whose backslashes were forgotten."""
        node = self.answer()
        return ("seq", "\\{", "\\}", node[1]) if node[0] == "list" else node

    def _unit_power(self) -> int:
        if not self.accept("^"):
            return 1
        exponent = self.exponent()
        if exponent[0] != "n" or abs(exponent[1]) > 9:
            raise Unparsable("a unit to a power that is no small integer")
        return int(exponent[1])

    def bracket(self) -> Node:
        """Parentheses, tuples, intervals, sets, absolute values."""
        opener = self.next()
        if opener.value in ("|", "vert", "\\|"):
            return self._bars(opener.value)
        if opener.value not in _CLOSERS or opener.kind == "letter":
            raise Unparsable(f"unexpected {opener.value!r}")
        self.deeper()
        bars, self.bars = self.bars, 0
        node = self._inside(opener.value)
        self.bars = bars
        self.depth -= 1
        return node

    def _inside(self, opener: str) -> Node:
        if opener == "\\{":
            if self.accept("\\}"):
                return ("empty",)
            self.bars = self._lone_bar()
        content = self.answer()
        if opener == "\\{" and self.accept("|", "mid"):
            content = _restricted(content, self.answer())
            self.expect("\\}")
            return content
        close = self.next().value
        if close not in _CLOSERS[opener]:
            raise Unparsable(f"{opener!r} closed by {close!r}")
        if content[0] == "list":
            opener, close = ("(", ")") if opener == "langle" else (opener, close)
            return ("seq", opener, close, content[1])
        if opener == "\\{":
            return _such_that(content) if content[0] == "rel" else ("seq", opener, close, (content,))
        if opener in ("lfloor", "lceil"):
            return ("f", {"lfloor": "floor", "lceil": "ceil"}[opener], (content,))
        return content

    def _lone_bar(self) -> int:
        """1 where an odd number of bars stands before the closing brace: one of them says `such that`."""
        bars = 0
        for token in self.tokens[self.position :]:
            if token.value == "\\}":
                break
            bars += token.value == "|"
        return bars % 2

    def _bars(self, bar: str) -> Node:
        self.deeper()
        self.bars += 1
        content = self.additive()
        self.bars -= 1
        self.depth -= 1
        self.expect(bar)
        return ("f", "abs", (content,))

    def special(self, name: str) -> Node:
        if name in ("langle", "lfloor", "lceil", "vert"):
            self.position -= 1
            return self.bracket()
        if name == "emptyset":
            return ("empty",)
        if name in CURRENCIES:
            self.currency = name
            return self.primary()
        if name in _KNOWN_SYMBOLS:
            return self._symbol(name)
        raise Unparsable(f"unknown command \\{name}")

    def primary(self) -> Node:
        if self.token.kind == "begin":
            return self._environment(self.next().value)
        node = super().primary()
        if node[0] == "v" and node[1].startswith("mathbb "):
            return _NUMBER_SETS.get(node[1].removeprefix("mathbb "), node)
        return node

    def _environment(self, name: str) -> Node:
        if name not in _MATRICES | _STACKS:
            raise Unparsable(f"unknown environment {name!r}")
        if name == "array" and self.at("{"):
            self._raw()
        self.deeper()
        bars, self.bars = self.bars, 0
        rows = self._rows()
        self.bars = bars
        self.depth -= 1
        if name in _STACKS:
            return ("list", tuple(cell for row in rows for cell in row), "and")
        matrix: Node = ("mat", tuple(tuple(row) for row in rows))
        return ("f", "det", (matrix,)) if name in ("vmatrix", "Vmatrix") else matrix

    def _rows(self) -> list[list[Node]]:
        """Cells parted by &, rows by \\\\; white rows at the end do not count."""
        rows: list[list[Node]] = [[]]
        while self.token.kind != "end":
            if self.accept("\\\\"):
                rows.append([])
            elif self.accept("&") or self.accept("hline"):
                continue
            else:
                rows[-1].append(self.answer())
        self.next()
        return [row for row in rows if row]


_KNOWN_SYMBOLS = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar partial nabla aleph prime".split()
)


def quantity(value: Node, scale: int, unit: units.Unit) -> Node:
    """`value` in `unit`; a scale (million, dozen) goes into the value."""
    factor, dimensions = unit
    if scale != 1:
        value = ("*", (value, ("n", scale, None)))
    return ("q", value, factor, tuple(sorted(dimensions.items()))) if dimensions else value


def total(items: tuple[Node, ...]) -> Node | None:
    """The sum of amounts in different units of one dimension (3 hours and 20 minutes), or None."""
    if any(item[0] != "q" or item[3] != items[0][3] for item in items) or len({item[2] for item in items}) < len(items):
        return None
    amount = items[0]
    for item in items[1:]:
        amount = _sum(amount, item)
    return amount


def _sum(left: Node, right: Node) -> Node:
    """5 feet 6 inches, in units of the first."""
    if right[0] != "q" or right[3] != left[3]:
        raise Unparsable("two quantities side by side")
    scaled = ("*", (right[1], ("n", right[2] / left[2], 0)))
    return ("q", ("+", (left[1], scaled)), left[2], left[3])


def _such_that(relation: Node) -> Node:
    """{x : condition}, read so far as the chain x : condition."""
    _, sides, operators = relation
    if ":" not in operators:
        return relation
    cut = operators.index(":") + 1
    return _restricted(
        sides[0] if cut == 1 else ("rel", sides[:cut], operators[: cut - 1]), _chain(sides[cut:], operators[cut:])
    )


def _chain(sides: tuple[Node, ...], operators: tuple[str, ...]) -> Node:
    return ("rel", sides, operators) if operators else sides[0]


def _restricted(content: Node, condition: Node) -> Node:
    """{x | condition}, with `x in R` before the bar adding nothing."""
    whole = content[0] == "rel" and content[2] == ("in",) and content[1][1] == ("reals",)
    if content[0] == "v" or whole:
        return condition
    raise Unparsable("a set described by a formula")

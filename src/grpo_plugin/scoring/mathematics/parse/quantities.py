"""Numbers of units: `5 cm`, `60 km/h`, `3 hours 20 minutes`, `2.5 million dollars`."""

from grpo_plugin.scoring.mathematics.parse import units
from grpo_plugin.scoring.mathematics.parse.lexicon import NO_UNITS
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.parser import Parser
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable

_MAX_WORDS = 5
_MAX_POWER = 9
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}


def read_units(parser: Parser) -> tuple[int, units.Unit]:
    """The words at the parser's place: their scale (`million`), and one unit (`km/h`, `square feet`).

    Raises:
        Unparsable: there are too many words to be a unit.
    """
    factors: list[units.Unit] = []
    scale, sign, power = 1, 1, 1
    while len(factors) < _MAX_WORDS:
        if parser.kind == "word" or (factors and parser.kind == "letter"):
            word = parser.next()
            if word in _POWERS:
                power = _POWERS[word]
                parser.accept(".")
            elif word == "per":
                sign = -1
            elif word.lower() in units.SCALES:
                scale *= units.SCALES[word.lower()]
            elif word in NO_UNITS or word.lower() in NO_UNITS:
                raise Unparsable(f"{word!r} is no unit")
            elif word == "in" and parser.kind == "word":
                continue
            else:
                factors.append(units.power(units.read(word), sign * power * _written_power(parser)))
                power = 1
        elif factors and parser.accept("/"):
            sign = -1
        elif not (factors and any(map(parser.accept, ("times", "-", "*", ".")))):
            break
    if parser.kind == "word":
        raise Unparsable("too many words for a unit")
    return scale, units.product(factors)


def _written_power(parser: Parser) -> int:
    if not parser.accept("^"):
        return 1
    exponent = parser.exponent()
    if exponent[0] != "n" or abs(exponent[1]) > _MAX_POWER:
        raise Unparsable("a unit to a power that is no small integer")
    return int(exponent[1])


def quantity(value: Node, scale: int, unit: units.Unit) -> Node:
    """`value` in `unit`; a scale goes into the value, and without a unit it is the value alone."""
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
        amount = plus(amount, item)
    return amount


def plus(left: Node, right: Node) -> Node:
    """5 feet 6 inches, in units of the first.

    Raises:
        Unparsable: they are not of one dimension.
    """
    if right[0] != "q" or right[3] != left[3]:
        raise Unparsable("two quantities side by side")
    scaled = ("*", (right[1], ("n", right[2] / left[2], 0)))
    return ("q", ("+", (left[1], scaled)), left[2], left[3])

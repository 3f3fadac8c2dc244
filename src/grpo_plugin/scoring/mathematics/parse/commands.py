"""Grammar rules that begin with a command: fractions, roots, functions, decorated names, operators over a range."""

from grpo_plugin.scoring.mathematics.parse.lexicon import BIG_OPERATORS, DECORATIONS, FUNCTIONS
from grpo_plugin.scoring.mathematics.parse.nodes import Node, multiply, negate
from grpo_plugin.scoring.mathematics.parse.parser import CURRENCIES, Parser, Rule

_TWO: Node = ("n", 2, None)
_TEN: Node = ("n", 10, None)
_REALS = frozenset(("mathbb R", "Bbb R"))


def _fraction(parser: Parser, name: str) -> Node:
    top = parser.group()
    return ("/", top, parser.group())


def _binomial(parser: Parser, name: str) -> Node:
    top = parser.group()
    return ("f", "binom", (top, parser.group()))


def _root(parser: Parser, name: str) -> Node:
    degree = _TWO
    if parser.accept("["):
        degree = parser.additive()
        parser.expect("]")
    parser.deeper()
    radicand = parser.primary()
    parser.depth -= 1
    return ("f", "root", (radicand, degree))


def _function(parser: Parser, name: str) -> Node:
    """`\\sin x`, `\\sin^2 x`, `\\log_2 8`, `\\max(a, b)`; without brackets, the factors that follow."""
    base = power = None
    for _ in range(2):
        if parser.accept("_"):
            base = parser.group()
        elif parser.accept("^") or _python_power(parser):
            power = parser.exponent()
    parser.deeper()
    arguments = _arguments(parser)
    parser.depth -= 1
    if name == "lg":
        name, base = "log", base or _TEN
    if name == "log" and base is not None:
        arguments = (*arguments, base)
    if power == ("n", -1, None) and "arc" + name in FUNCTIONS:
        return ("f", "arc" + name, arguments)
    node: Node = ("f", name, arguments)
    return node if power is None else ("^", node, power)


def _python_power(parser: Parser) -> bool:
    """Accept the ** of sin**2(x)."""
    if [token.value for token in parser.ahead(2)] != ["*", "*"]:
        return False
    parser.move_to(parser.position + 2)
    return True


def _arguments(parser: Parser) -> tuple[Node, ...]:
    if parser.sign in ("(", "{", "[", "\\{"):
        argument = parser.primary()
        return tuple(argument[3]) if argument[0] == "seq" else (argument,)
    argument = negate(parser.power()) if parser.accept("-") else parser.power()
    while parser.starts_factor() and parser.value not in FUNCTIONS:
        argument = multiply(argument, parser.power())
    return (argument,)


def _decorated(parser: Parser, name: str) -> Node:
    """`\\vec{v}`, `\\overline{AB}`, `\\mathbb{R}`: one name."""
    symbol = parser.symbol(name + " " + parser.raw())
    return ("reals",) if symbol[1] in _REALS else symbol


def _big_operator(parser: Parser, name: str) -> Node:
    """`\\sum_{k=1}^{n} k^2` as its name with its bounds, and its body."""
    bounds = []
    while parser.sign in ("_", "^"):
        bounds.append(parser.next() + parser.raw())
    return ("f", " ".join([name, *sorted(bounds)]), (parser.term(),))


def _money(parser: Parser, name: str) -> Node:
    parser.currency = name
    return parser.primary()


def _constant(node: Node) -> Rule:
    return lambda parser, name: node


def _real_numbers(parser: Parser, name: str) -> Node:
    symbol = parser.symbol(name)
    return ("reals",) if symbol[1] == "R" else symbol


RULES: dict[str, Rule] = {
    **dict.fromkeys(CURRENCIES, _money),
    **dict.fromkeys(BIG_OPERATORS, _big_operator),
    **dict.fromkeys(DECORATIONS, _decorated),
    **dict.fromkeys(FUNCTIONS, _function),
    "frac": _fraction,
    "binom": _binomial,
    "sqrt": _root,
    "R": _real_numbers,
    "pi": _constant(("c", "pi")),
    "infty": _constant(("c", "infty")),
    "imath": _constant(("c", "i")),
    "emptyset": _constant(("empty",)),
}

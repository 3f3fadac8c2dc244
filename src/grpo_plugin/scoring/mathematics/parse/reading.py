"""The ways an answer can be read: as mathematics, as words, as the letter of a choice."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from grpo_plugin.scoring.mathematics.parse import grammar, words
from grpo_plugin.scoring.mathematics.parse.bases import based_number
from grpo_plugin.scoring.mathematics.parse.clock import time_of_day
from grpo_plugin.scoring.mathematics.parse.lexicon import BIG_OPERATORS
from grpo_plugin.scoring.mathematics.parse.matrices import folded
from grpo_plugin.scoring.mathematics.parse.national import in_lakhs
from grpo_plugin.scoring.mathematics.parse.nodes import Node, add, is_integer, mixed_number, negate, number
from grpo_plugin.scoring.mathematics.parse.quantities import total
from grpo_plugin.scoring.mathematics.parse.tidy import tidy
from grpo_plugin.scoring.mathematics.parse.tokens import tokenize
from grpo_plugin.scoring.mathematics.parse.unparsable import UnknownCommand, Unparsable

MAX_LENGTH = 2_000
_WORDS_FOR_SETS: dict[str, Node] = {
    "no solution": ("empty",), "empty set": ("empty",), "no real solution": ("empty",), "all real numbers": ("reals",),
}  # fmt: skip
_JOINTS = (" and ", " or ", ",", ";")
_LETTER_UNIT = re.compile(r"[0-9] [mgshLlNJWVKACFT](?![a-zA-Z])|[0-9][a-zA-Z]/")
_ATTACHED_UNIT = re.compile(r"([0-9])([mgshLlNJWVKACFT])\Z")
# 0,1 is a list of two; 0,125 is neither a list nor a thousand.
_DECIMAL_COMMA = re.compile(r"-?0,[0-9]{3,}\Z")
_ZERO_GROUP = re.compile(r",0[0-9]")
# What most answers are, read without the grammar.
_PLAIN = re.compile(r"(-?[0-9]{1,15})\Z|\\[dt]?frac\{(-?[0-9]{1,15})\}\{([0-9]{1,15})\}\Z")
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_TRANSPOSE = re.compile(r"[)\]]\s*\^\s*\{?\s*(?:T|\\top|\\intercal)")
_LOOSE_SPACE = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Reading:
    """One answer, read.

    Attributes:
        text: the tidied text without spaces; equal texts are equal answers.
        nodes: mathematical readings, the likeliest first; none where the text is no mathematics.
        quantities: readings with an attached letter as a unit (`3m`), for comparison with a quantity alone.
        choice: the letter of a multiple choice, and what stands behind it.
        choices: the letters of an answer with several.
        wellformed: not empty, and every group closed.
        beyond: it has a command or operator that is not evaluated here, so that math-verify decides.
    """

    text: str
    nodes: tuple[Node, ...]
    quantities: tuple[Node, ...]
    choice: tuple[str, str] | None
    choices: tuple[str, ...] | None
    wellformed: bool
    beyond: bool

    @property
    def is_text(self) -> bool:
        return bool(self.nodes) and self.nodes[0][0] == "text"


@lru_cache(maxsize=50_000)
def read(raw: str) -> Reading:
    """All readings of an answer; a text longer than `MAX_LENGTH` is compared as it is, never parsed."""
    if integer_or_fraction := _PLAIN.match(raw):
        return Reading(raw, (_plain_number(integer_or_fraction),), (), None, None, True, False)
    if len(raw) > MAX_LENGTH:
        return Reading(_squash(raw), (), (), None, None, True, False)
    text = tidy(raw)
    plain = words.strip_commands(text)
    beyond = False
    if words.is_text(plain):
        nodes = _as_words(plain)
    elif time := time_of_day(plain):
        nodes = (time,)
    else:
        nodes, beyond = _as_mathematics(text)
        if not any(node[0] == "base" and node[2][0] == "n" for node in nodes):
            nodes += _in_another_base(plain)
    if not nodes and words.is_label(plain):
        nodes = (("text", words.canonical(plain)),)
    return Reading(
        _squash(text), nodes, _with_unit(text), words.choice(plain), words.choices(plain), _wellformed(text), beyond
    )


def _plain_number(match: re.Match[str]) -> Node:
    whole, top, bottom = match.groups()
    return ("n", int(whole), None) if whole else ("/", ("n", int(top), None), ("n", int(bottom), None))


def _in_another_base(plain: str) -> tuple[Node, ...]:
    value = based_number(plain)
    return () if value is None else (("n", value, None),)


def _with_unit(text: str) -> tuple[Node, ...]:
    """`3m` as a quantity, for comparison with another quantity; otherwise 3m is a product."""
    if not _ATTACHED_UNIT.search(text):
        return ()
    try:
        node = canonical(grammar.parse(tokenize(_ATTACHED_UNIT.sub(r"\1 \2", text), True, True)))
    except (Unparsable, RecursionError):
        return ()
    return (node,) if node[0] == "q" else ()


def _as_words(plain: str) -> tuple[Node, ...]:
    canonical = words.canonical(plain)
    value = words.to_number(canonical)
    if value is not None:
        return (value,)
    items = [plain]
    for joint in _JOINTS:
        items = [part for item in items for part in item.split(joint)]
    texts: tuple[Node, ...] = tuple(("text", words.canonical(item)) for item in items if item.strip())
    readings: list[Node] = [("text", canonical)]
    if len(texts) > 1:
        readings.append(("list", texts, ","))
    if (counted := words.counted(plain)) is not None:
        readings += [node for node in _as_mathematics(counted)[0] if node[0] == "q"]
    if canonical in _WORDS_FOR_SETS:
        readings.append(_WORDS_FOR_SETS[canonical])
    if len(plain) == 2 and plain.isalpha():
        readings += _as_mathematics(plain)[0]
    return tuple(readings)


def _as_mathematics(text: str) -> tuple[tuple[Node, ...], bool]:
    """The likeliest reading first; then commas as separators always, and a letter behind a number as a unit.

    The second item says whether something in the text is beyond this grammar.
    """
    has_matrices = "\\begin" in text or ("^" in text and _TRANSPOSE.search(text) is not None)
    has_sign_pairs = "pm" in text or "mp" in text
    ways = [(True, False)]
    if "," in text and not _ZERO_GROUP.search(text):
        ways.append((False, False))
    if _LETTER_UNIT.search(text):
        ways.append((True, True))
    readings: list[Node] = []
    if _DECIMAL_COMMA.match(text):
        decimal = number(text.lstrip("-").replace(",", "."))
        readings.append(negate(decimal) if text[0] == "-" else decimal)
    if (number_text := in_lakhs(text)) is not None:
        readings.append(number(number_text))
    beyond = "\\" in text and any(command in BIG_OPERATORS for command in _COMMAND.findall(text))
    for join_thousands, letter_units in ways:
        try:
            node = grammar.parse(tokenize(text, join_thousands, letter_units))
            node = canonical(folded(node) if has_matrices else node, has_sign_pairs)
        except UnknownCommand:
            beyond = True
        except (Unparsable, RecursionError):
            continue
        else:
            readings += [] if node in readings else [node]
    if "and" in text and readings and (mixed := _whole_and_part(readings[0])) is not None:
        readings.append(mixed)
    if "log" in text:
        readings += [_with_common_logarithms(node) for node in readings if _has_bare_logarithm(node)]
    return tuple(readings), beyond


def _whole_and_part(node: Node) -> Node | None:
    """3 and 1/2 as 3 1/2, beside the list of both."""
    if node[0] != "list" or node[2] != "and" or len(node[1]) != 2 or not is_integer(node[1][0]):
        return None
    return mixed_number(node[1][0][1], node[1][1])


def _has_bare_logarithm(node: object) -> bool:
    """Whether a log without a base occurs: natural or common, both are read."""
    if not isinstance(node, tuple):
        return False
    return (node[:2] == ("f", "log") and len(node[2]) == 1) or any(map(_has_bare_logarithm, node))


def _with_common_logarithms(node: Any) -> Any:
    if not isinstance(node, tuple):
        return node
    if node[:2] == ("f", "log") and len(node[2]) == 1:
        return ("f", "log", (_with_common_logarithms(node[2][0]), ("n", 10, None)))
    return tuple(map(_with_common_logarithms, node))


def canonical(node: Node, has_sign_pairs: bool = True) -> Node:
    """Lists flat, a±b as its two values, 3 hours and 20 minutes as one amount, a : b = 3 : 4 as the ratio 3 : 4."""
    if node[0] == "list" and node[2] == "and" and (amount := total(node[1])) is not None:
        return amount
    if node[0] == "rel" and node[2][-1] == ":" and "=" in node[2]:
        cut = len(node[2]) - node[2][::-1].index("=")
        return ("rel", node[1][cut:], node[2][cut:])
    if node[0] == "rel" and node[2] == (":", "=") and all(map(_is_name, node[1][:2])):
        return canonical(("rel", (("/", *node[1][:2]), node[1][2]), ("=",)), has_sign_pairs)
    if node[0] == "list":
        node = _without_ranges(node)
    node = _without_approximations(node)
    if not has_sign_pairs and node[0] not in ("list", "seq"):
        return node
    variants = _expand(node)
    return variants[0] if len(variants) == 1 else ("list", tuple(variants), "or")


def _is_name(node: Node) -> bool:
    return node[0] == "v" or (node[0] == "*" and all(part[0] == "v" for part in node[1]))


def _without_ranges(node: Node) -> Node:
    """`x = 2k` of `x = 2k, k \\in \\mathbb{Z}`: the set that an integer belongs to is not part of the answer."""
    items = tuple(
        item for item in node[1] if not (item[0] == "rel" and item[2] == ("in",) and _is_number_set(item[1][1]))
    )
    return (
        node if not items or len(items) == len(node[1]) else items[0] if len(items) == 1 else ("list", items, node[2])
    )


def _is_number_set(node: Node) -> bool:
    return node == ("reals",) or (node[0] == "v" and node[1].startswith(("mathbb", "Bbb")))


def _without_approximations(node: Node) -> Node:
    """`x = 1/4 ≈ 0.25` as a value with its approximation; `x ≈ 2.35` as `x = 2.35`."""
    if node[0] == "list":
        return ("list", tuple(map(_without_approximations, node[1])), node[2])
    if node[0] != "rel" or "approx" not in node[2]:
        return node
    cut = node[2].index("approx")
    if cut == 0 and node[1][0][0] == "v":
        return ("rel", node[1], tuple("=" if operator == "approx" else operator for operator in node[2]))
    return ("≈", ("rel", node[1][: cut + 1], node[2][:cut]) if cut else node[1][0], node[1][cut + 1])


def _expand(node: Node) -> list[Node]:
    if node[0] == "list":
        items = tuple(variant for item in node[1] for variant in _expand(item))
        return [("list", items, node[2])]
    if node[0] == "seq":
        return [(*node[:3], tuple(variant for item in node[3] for variant in _expand(item)))]
    if not _has_sign_pair(node):
        return [node]
    return [_choose(node, add), _choose(node, lambda left, right: add(left, negate(right)))]


def _has_sign_pair(node: object) -> bool:
    return isinstance(node, tuple) and (node[:1] == ("±",) or any(map(_has_sign_pair, node)))


def _choose(node: Any, sign: Callable[[Node, Node], Node]) -> Any:
    if not isinstance(node, tuple):
        return node
    if node[:1] == ("±",):
        return sign(_choose(node[1], sign), _choose(node[2], sign))
    return tuple(_choose(part, sign) for part in node)


def _squash(text: str) -> str:
    """`text` without sizes and without the white space that does not separate words or numbers."""
    for name in ("\\left", "\\right", "\\,", "\\ ", "\\;", "\\!"):
        text = text.replace(name, " ")
    return _LOOSE_SPACE.sub("", text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").strip())


def _wellformed(text: str) -> bool:
    """Not empty, braces balanced, no command without what belongs to it."""
    if not text or "{}" in text.replace(" ", "") or text.endswith(("\\", "^", "_", "=", "\\frac", "\\sqrt")):
        return False
    plain = text.replace("\\{", "").replace("\\}", "")
    return plain.count("{") == plain.count("}")

"""LaTeX and plain mathematics cut into tokens.

Kinds: `number` (digits, thousands separators gone), `letter` (one symbol), `word` (several letters, or what stands
in a text command), `command` (a LaTeX command without its backslash, or a plain word that means one), `begin` and
`end` of an environment, `op` (any other character).
"""

import re
from itertools import pairwise
from typing import NamedTuple

from grpo_plugin.scoring.mathematics.parse.lexicon import FUNCTIONS, PLAIN_COMMANDS, SHORT_WORDS, SILENT, SYNONYMS
from grpo_plugin.scoring.mathematics.parse.units import is_unit, is_unit_letter
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable


class Token(NamedTuple):
    kind: str
    value: str
    spaced: bool  # white space stands before it


_SPACE = r"(?:\s|~|\\[,;:!> ]|\\q?quad|\\(?:thin|med|thick|neg)space(?![a-zA-Z]))+"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9.]))?"
_ROMAN = r"text(?:bf|it|rm|normal|tt|sf|sc|up)?|mbox|hbox|mathrm|operatorname\*?|rm"
_TOKEN = re.compile(
    rf"(?P<space>{_SPACE})"
    rf"|(?P<thousands>[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+(?:\.[0-9]+)?(?![0-9]))"
    rf"|(?P<number>{_NUMBER})"
    r"|\\begin\s*\{(?P<begin>[a-zA-Z]+)\*?\}"
    r"|\\end\s*\{(?P<end>[a-zA-Z]+)\*?\}"
    rf"|\\(?P<roman>{_ROMAN})\s*\{{"
    r"|\\(?P<command>[a-zA-Z]+)"
    r"|\\(?P<escaped>.)"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<op>.)",
    re.DOTALL,
)


def tokenize(text: str, join_thousands: bool = True, letter_units: bool = False) -> list[Token]:
    """The tokens of `text`; with `join_thousands`, 1,234 is one number outside brackets; with `letter_units`, the
    m of `5 m` is a metre.

    Raises:
        Unparsable: a text command is not closed.
    """
    tokens: list[Token] = []
    _scan(text, tokens, False, join_thousands)
    if letter_units:
        for place, (left, token) in enumerate(pairwise(tokens), start=1):
            if token.kind == "letter" and left.kind == "number" and is_unit_letter(token.value):
                tokens[place] = token._replace(kind="word")
    return tokens


def _scan(text: str, tokens: list[Token], in_text: bool, join: bool) -> None:
    position, end, spaced, depth = 0, len(text), False, 0
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None  # the last alternative takes any character
        kind, value = match.lastgroup, match.group(match.lastgroup or 0)
        position = match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "number":
            tokens.append(Token("number", value, spaced))
        elif kind == "thousands":
            if not join or (depth and ", " not in text):
                position = match.start() + value.index(",")
                value = value[: value.index(",")]
            tokens.append(Token("number", value.replace(",", ""), spaced))
        elif kind == "command":
            position = _command(text, position, value, tokens, spaced)
        elif kind == "word":
            _word(value, tokens, spaced, in_text)
        elif kind == "roman":
            close = closing_brace(text, position)
            _roman(value, text[position:close], tokens, spaced, join)
            position = close + 1
        elif kind == "escaped":
            depth += (value == "{") - (value == "}")
            tokens.append(Token("op", "\\" + value if value in "\\{}|" else value, spaced))
        elif kind == "op":
            depth += (value in "([") - (value in ")]")
            tokens.append(Token("op", value, spaced))
        else:
            tokens.append(Token(str(kind), value, spaced))
        spaced = False


def _command(text: str, position: int, name: str, tokens: list[Token], spaced: bool) -> int:
    """Add a command; sizes and fonts are dropped. Returns where scanning goes on."""
    if name in ("left", "right") and text[position : position + 1] == ".":
        return position + 1
    if name in SILENT:
        return position
    name = SYNONYMS.get(name, name)
    if name in "{}":
        tokens.append(Token("op", "\\" + name, spaced))
    elif name.isalpha():
        tokens.append(Token("command", name, spaced))
    else:
        tokens.append(Token("op", name, spaced))
    return position


def _word(run: str, tokens: list[Token], spaced: bool, in_text: bool) -> None:
    """A run of letters: a function, a unit after a number, a product of symbols, or a word."""
    if tokens and tokens[-1].kind == "number" and len(run) > 1 and (is_unit(run) or run in _AFTER_NUMBER):
        tokens.append(Token("word", run, spaced))
    elif run in PLAIN_COMMANDS:
        tokens.append(Token("command", SYNONYMS.get(PLAIN_COMMANDS[run], PLAIN_COMMANDS[run]), spaced))
    elif in_text or _is_word(run, tokens):
        tokens.append(Token("word", run, spaced))
    else:
        split = _leading_function(run)
        if split:
            tokens.append(Token("command", run[:split], spaced))
            run, spaced = run[split:], False
        for letter in run:
            tokens.append(Token("letter", letter, spaced))
            spaced = False


_AFTER_NUMBER = frozenset(("in", "sq", "cu"))
_UNIT_MAY_FOLLOW = frozenset((")", "}", "/", "!", "%"))


def _is_word(run: str, tokens: list[Token]) -> bool:
    if len(run) == 1:
        return not run.isascii()
    if (
        tokens
        and is_unit(run)
        and (tokens[-1].kind in ("word", "command", "letter") or tokens[-1].value in _UNIT_MAY_FOLLOW)
    ):
        return True
    if len(run) == 2:
        return run.lower() in SHORT_WORDS
    return not _consecutive(run) and not _leading_function(run)


def _consecutive(run: str) -> bool:
    """Neighbours in the alphabet, as in abc or xyz, are a product of symbols."""
    return all(ord(right) - ord(left) == 1 for left, right in pairwise(run))


def _leading_function(run: str) -> int:
    """How many letters of sinx, lnx or 2pir are a function's name, if one symbol follows it."""
    return len(run) - 1 if run[:-1] in FUNCTIONS or run[:-1] == "pi" else 0


def _roman(command: str, content: str, tokens: list[Token], spaced: bool, join: bool) -> None:
    """The content of a text command: words, except for a single roman e, i or d, which is a symbol."""
    name = content.strip()
    if command.startswith(("mathrm", "operatorname", "rm")) and name in ("e", "i", "d"):
        tokens.append(Token("letter", name, spaced))
        return
    start = len(tokens)
    _scan(content, tokens, True, join)
    if len(tokens) > start and (spaced or content[:1].isspace()):
        tokens[start] = tokens[start]._replace(spaced=True)


def closing_brace(text: str, position: int) -> int:
    """The index of the brace that closes the group whose content begins at `position`.

    Raises:
        Unparsable: there is none.
    """
    depth = 1
    for match in _BRACE.finditer(text, position):
        brace = match.group()
        depth += (brace == "{") - (brace == "}")
        if depth == 0:
            return match.start()
    raise Unparsable("a text command is not closed")


_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)

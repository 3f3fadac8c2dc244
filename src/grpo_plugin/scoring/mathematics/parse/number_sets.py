"""Sets of numbers by their symbols and names: \\mathbb{R}^+, positive real numbers, all real numbers except 1."""

import re

from grpo_plugin.scoring.mathematics.parse.words import strip_commands

_R = r"(?:\\(?:mathbb|Bbb|mathbf|mathrm)\s*\{?\s*R\s*\}?|\\R(?![a-zA-Z]))"
_SIGNED = re.compile(
    _R + r"\s*\^\s*\{?\s*([+*-])\s*\}?|" + _R + r"\s*_\s*\{\s*(>|\\ge(?:q|qslant)?|\\geqslant|<|\\leq?)\s*0\s*\}"
)
_OF_SIGN = {
    "+": r"(0,\infty)", ">": r"(0,\infty)", "-": r"(-\infty,0)", "<": r"(-\infty,0)",
    "*": r"(-\infty,0)\cup(0,\infty)", "\\ge": r"[0,\infty)", "\\le": r"(-\infty,0]",
}  # fmt: skip
_WITHOUT = re.compile(_R + r"\s*(?:-|\\backslash|\\smallsetminus)\s*\\?\{(.*?)\\?\}")
_NAMES = {
    "positive": r"(0,\infty)", "negative": r"(-\infty,0)", "nonnegative": r"[0,\infty)", "nonpositive": r"(-\infty,0]",
    "nonzero": r"(-\infty,0)\cup(0,\infty)",
}  # fmt: skip
_NAMED = re.compile(r"(?:the set of )?(?:all )?(non-?)?(positive|negative|zero) reals?(?: numbers?)?\Z", re.I)
_EXCEPT = re.compile(
    r"(?:the set of )?(?:all )?real(?: number|)s?(?: [a-z])?,?"
    r" (?:except|excluding|other than|but(?: not)?|not equal to)"
    r"(?: for)?(?: [a-z] ?=)? ?(-?[0-9][-0-9a-z./, ]*|[-\\($].*)\Z",
    re.IGNORECASE,
)


def to_symbols(text: str) -> str:
    """`text` with real numbers of one sign, or without some of them, as intervals and differences of sets."""
    if "R" in text and "\\" in text:
        text = _SIGNED.sub(lambda m: _OF_SIGN[(m[1] or m[2])[:3]], text)
        text = _WITHOUT.sub(r"\\mathbb{R}\\setminus\\{\1\\}", text)
    if "real" in text:
        plain = strip_commands(text)
        if named := _NAMED.match(plain):
            return _NAMES[("non" if named[1] else "") + named[2].lower()]
        if excepted := _EXCEPT.match(plain):
            return rf"\mathbb{{R}}\setminus\{{{excepted[1]}\}}"
    return text

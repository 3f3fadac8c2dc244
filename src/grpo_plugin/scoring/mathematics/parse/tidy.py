"""The notation of an answer made uniform: wrappers, dollar signs, digit groups, repeating decimals."""

import re
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.characters import to_latex
from grpo_plugin.scoring.mathematics.parse.chinese import from_chinese

_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_PUNCTUATION = ".,;: \t\r\n"
_PUNCTUATED_GROUPS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:(?:\{,\}|,?\\[,!;: ]\s?| )[0-9]{3})+)(?![0-9])")
_REPETEND = re.compile(r"([0-9]*\.[0-9]*)\s*(?:\\(?:overline|bar|dot)\s*\{([0-9]+)\}|\(([0-9]+)\))")
_ELLIPSIS = re.compile(r"([0-9]*)\.([0-9]+)\s*(?:\.\.\.|\\ldots|\\dots|\\cdots)(?![a-zA-Z])")
_EMPTY_TEXT = re.compile(r"\\text\s*\{\s*[.,;:]?\s*\}")
_LEADING = re.compile(
    r"^(?:(?:=|:=|\\approx|\\equiv|~)\s*|(?:about|approximately|roughly|around|exactly)\s+(?=[-0-9.$\\]))",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"^(?:negative|minus)\s+(?=[0-9.\\$(])", re.IGNORECASE)
_TIMES_TEN = re.compile(r"(?<=[0-9])\s*[xX]\s*(?=10\s*(?:\^|\*\*))")
_HALF_OF_DAY = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:^|[\s(:=-])\$\s?-?\.?[0-9]")
# Names of a quantity before its value: `Area: 31`, not the ratio x:3.
_LABEL = re.compile(r"^(?:\\text\s*\{)?[A-Za-z]{3,}(?: [A-Za-z]+){0,4}\s*:\s*\}?\s*(?=[-0-9$\\(])")
_COLOR = re.compile(r"\\(?:text|math)?color\s*(?:\[[a-zA-Z]+\])?\s*\{[^{}]*\}")
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=(?:left|right|[dt]?frac|sqrt|text|pi|le|ge|infty|cup|cdot|times)(?![a-z]))")
_ORDINAL = re.compile(
    r"(?<![0-9.])([0-9]+)\s*(?:\^\s*)?(?:\{\s*)?(?:\\(?:text|mathrm|textrm|mbox)\s*\{\s*)?(?:st|nd|rd|th)(?![a-zA-Z])"
    r"(?:\s*\}){0,2}"
)
_OPERATIONS = (
    (re.compile(r"(?<=[\w)}])\s+squared\b"), "^2"), (re.compile(r"(?<=[\w)}])\s+cubed\b"), "^3"),
    (re.compile(r"(?<=[\w)}])\s+factorial\b"), "!"), (re.compile(r"(?<=[0-9)}])\s+plus\s+"), "+"),
    (re.compile(r"(?<=[0-9)}])\s+minus\s+"), "-"), (re.compile(r"(?<=[0-9)}])\s+(?:multiplied by|times)\s+"), "*"),
    (re.compile(r"(?<=[0-9)}])\s+(?:divided by|over)\s+(?=[0-9])"), "/"),
)  # fmt: skip
_OPERATION_WORD = re.compile(r"\b(?:squared|cubed|factorial|plus|minus|times|by|over)\b")
_CLOSING_DOLLAR = re.compile(r"[^\s$\\]\$(?:$|[\s.,;:)])")


def tidy(text: str) -> str:
    """`text` in ASCII LaTeX without its wrappers; a dollar sign that is left is money."""
    text = _EMPTY_TEXT.sub(" ", text) if "\\text" in text else text
    text = _LEADING.sub("", unwrap(to_latex(text)))
    if not text.isascii():
        text = from_chinese(text)
    if "\\" in text:
        text = _COLOR.sub("", text) if "color" in text else text
        text = text if "\\begin" in text else _DOUBLED_BACKSLASH.sub(r"\\", text)
    if ":" in text:
        text = _LABEL.sub("", text)
    text = _in_signs(text)
    if "$" in text:
        text = _money(text)
    if "{,}" in text or "\\" in text or " " in text:
        text = _PUNCTUATED_GROUPS.sub(lambda m: m[1] + "".join(c for c in m[2] if c.isdigit()), text)
        text = text.replace("{,}", ".").replace("\\!", "")
    text = _TIMES_TEN.sub("*", _NEGATIVE.sub("-", text))
    if "." in text:
        text = _HALF_OF_DAY.sub(r"\1m", text)
        text = _REPETEND.sub(lambda m: _repeating(m[1], m[2] or m[3]), text)
        text = _ELLIPSIS.sub(_repeating_ellipsis, text)
    return text


def _in_signs(text: str) -> str:
    """21st as 21, 7 squared as 7^2, 7 minus 1 as 7-1."""
    if any(ending in text for ending in ("st", "nd", "rd", "th")):
        text = _ORDINAL.sub(r"\1", text)
    if " " in text and _OPERATION_WORD.search(text):
        for words, sign in _OPERATIONS:
            text = words.sub(sign, text)
    return text


def unwrap(text: str) -> str:
    """`text` without dollar signs, boxes, emphasis or quotation marks around the whole, and without a full stop."""
    previous = None
    while text != previous:
        previous = text
        text = _without_stop(text.strip())
        for opening, closing in _WRAPPERS:
            inner = text[len(opening) : -len(closing)]
            if text.startswith(opening) and text.endswith(closing) and inner and opening not in inner:
                text = inner
    return text


def _without_stop(text: str) -> str:
    if text.endswith(("...", "\\,", "\\;", "\\:", "\\.")):
        return text
    return text.removesuffix("\\\\").rstrip(_PUNCTUATION)


def _money(text: str) -> str:
    r"""Keep the dollar signs that are money, as `\$`; drop those that delimit mathematics."""
    if _CURRENCY.search(text.replace("\\$", "$")) and not _CLOSING_DOLLAR.search(text):
        return text.replace("\\$", "$")
    return text.replace("\\$", "\\textdollar ").replace("$", "")


def _repeating(decimal: str, repetend: str) -> str:
    r"""0.1\overline{6} as the fraction (1/6)."""
    whole, _, fixed = decimal.partition(".")
    return _fraction(whole, fixed, repetend)


def _repeating_ellipsis(match: re.Match[str]) -> str:
    """0.1666... as (1/6), where the last digits show a period; else as it was."""
    whole, digits = match[1], match[2]
    for period in range(1, len(digits) // 2 + 1):
        repetend = digits[-period:]
        repeats = 1
        while digits.endswith(repetend * (repeats + 1)):
            repeats += 1
        if repeats * period >= 3 and repeats > 1:
            return _fraction(whole, digits[: len(digits) - repeats * period], repetend)
    return match[0]


def _fraction(whole: str, fixed: str, repetend: str) -> str:
    if len(whole) + len(fixed) + len(repetend) > 100:
        return f"{whole}.{fixed}({repetend})"
    nines = 10 ** len(repetend) - 1
    value = int(whole + fixed or "0") + Fraction(int(repetend), nines)
    value /= 10 ** len(fixed)
    return f"({value.numerator}/{value.denominator})"

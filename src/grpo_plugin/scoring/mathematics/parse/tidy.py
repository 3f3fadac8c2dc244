"""The notation of an answer made uniform: wrappers, dollar signs, digit groups, repeating decimals."""

import re
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.asides import without_asides
from grpo_plugin.scoring.mathematics.parse.characters import to_latex
from grpo_plugin.scoring.mathematics.parse.chinese import from_chinese
from grpo_plugin.scoring.mathematics.parse.national import to_common
from grpo_plugin.scoring.mathematics.parse.number_sets import to_symbols

_WRAPPERS = (
    ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"),
    ("`", "`"), ('"', '"'), ("'", "'"),
)  # fmt: skip
_PUNCTUATION = ".,;: \t\r\n"
_PUNCTUATED_GROUPS = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:(?:\s?\{\s?,\s?\}|,?\\[,!;: ]\s?| )[0-9]{3})+)(?![0-9])")
_REPETEND = re.compile(r"([0-9]*\.[0-9]*)\s*(?:\\(?:overline|bar|dot)\s*\{([0-9]+)\}|\(([0-9]+)\))")
_ELLIPSIS = re.compile(r"([0-9]*)\.([0-9]+)\s*(?:\.\.\.|\\ldots|\\dots|\\cdots)(?![a-zA-Z])")
_EMPTY_TEXT = re.compile(r"\\text\s*\{\s*[.,;:]?\s*\}")
_LEADING = re.compile(
    r"^(?:(?:=|:=|\\approx|\\equiv|~|#(?=[0-9]))\s*|(?:about|approximately|roughly|around|exactly)\s+(?=[-0-9.$\\]))",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"^(?:negative|minus)\s+(?=[0-9.\\$(])", re.IGNORECASE)
_TIMES = re.compile(r"(?<=[0-9])(?:\s*[xX]\s*(?=10\s*(?:\^|\*\*))|\s+[xX]\s+(?=[0-9]))")
_HALF_OF_DAY = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:^|[\s(:=-])\$\s?-?\.?[0-9]")
# Names of a quantity before its value: `Area: 31`, not the ratio x:3.
_LABEL = re.compile(
    r"^(?:\\text\s*\{)?(?:[^\W\d_]{3,}(?: [^\W\d_]+){0,4}|[\u4e00-\u9fff]+|[K-Zk-z](?=: ))\s*:\s*\}?\s*(?=[-0-9$\\(])"
)
# P(A|B), in which the bar is no absolute value; x^* as a name.
_GIVEN = re.compile(r"\b([A-Z])\s*\(([^()|=]+?)\s*(?:\||\\mid|\\vert)\s*([^()|=]+?)\)")
_STAR = re.compile(r"(?<=[A-Za-z])\s*\^\s*(?:\*|\{\s*(?:\*|\\ast|\\star)\s*\}|\\ast|\\star)(?!\*)")
_COLOR = re.compile(r"\\(?:text|math)?color\s*(?:\[[a-zA-Z]+\])?\s*\{[^{}]*\}")
_DOUBLED_THROUGHOUT = re.compile(r"(?<!\\)\\\\begin\{")
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=(?:left|right|[dt]?frac|sqrt|text|pi|le|ge|infty|cup|cdot|times)(?![a-z]))")
_ORDINAL = re.compile(
    r"(?<![0-9.])([0-9]+)\s*(?:\^\s*)?(?:\{\s*)?(?:\\(?:text|mathrm|textrm|mbox)\s*\{\s*)?(?:st|nd|rd|th)(?![a-zA-Z])"
    r"(?:\s*\}){0,2}"
)
_OPERATIONS = (
    (re.compile(r"(?<=[\w)}])\s+squared\b"), "^2"), (re.compile(r"(?<=[\w)}])\s+cubed\b"), "^3"),
    (re.compile(r"(?<=[\w)}])\s+factorial\b"), "!"), (re.compile(r"(?<=[0-9)}])\s+times\Z"), ""),
    (re.compile(r"(?<=[0-9)}])\s+plus\s+"), "+"),
    (re.compile(r"(?<=[0-9)}])\s+minus\s+"), "-"), (re.compile(r"(?<=[0-9)}])\s+(?:multiplied by|times)\s+"), "*"),
    (re.compile(r"(?<=[0-9)}])\s+(?:divided by|over)\s+(?=[0-9])"), "/"),
)  # fmt: skip
_OPERATION_WORD = re.compile(r"\b(?:squared|cubed|factorial|plus|minus|times|by|over)\b")
_TO = re.compile(r"([0-9]+)\s*(?:\\text\s*\{\s*)?to(?:\s*\})?\s*([0-9]+)\Z")
_OUT_OF = re.compile(r"([0-9]+) (?:out of|in)(?: every)? ([0-9]+)\Z")
_MODULO = re.compile(
    r"\\text\s*\{\s*\(?\s*mod(?:ulo)?\s+([0-9a-z]+)\s*\)?\s*\}|\(\s*(?:\\?mod|\\(?:mathrm|text|bmod)\s*\{?mod\}?)\s*([0-9a-z]+)\s*\)"
)
_EXCLAIMED = re.compile(r"([A-Za-z]{3,})!\Z")
_DOTS = re.compile(r"(?<=,)\s*\.\.\.\s*(?=,|\Z)")
_CURRENCY_NAME = re.compile(r"(?:US|U\.S\.)\s?(?=\\?\$)|(Rs\.?|INR|USD|EUR|GBP)\s?(?=[0-9])")
_CURRENCY_SIGNS = {"Rs": "₹", "INR": "₹", "USD": "\\$", "EUR": "€", "GBP": "£"}
_MICRO_OR_OHM = re.compile(
    r"(?<=[0-9}])\s*(?:~|\\[,;: ])*\s*(?:\\mu\s*(?:\\(?:text|mathrm)\s*\{\s*)?([mgsL])\}?|\\Omega)\s*\Z"
)
_CLOSING_DOLLAR = re.compile(r"[^\s$\\]\$(?:$|[\s.,;:)])")


def tidy(text: str) -> str:
    """`text` in ASCII LaTeX without its wrappers; a dollar sign that is left is money."""
    text = _EMPTY_TEXT.sub(" ", text) if "\\text" in text else text
    text = _LEADING.sub("", unwrap(to_latex(without_asides(text))))
    if not text.isascii():
        text = from_chinese(text)
    if "\\" in text:
        text = _latex(text)
    if ":" in text:
        text = _LABEL.sub("", text)
    text = to_symbols(to_common(_in_signs(text)))
    if "$" in text:
        text = _money(text)
    if "{,}" in text or "\\" in text or " " in text:
        text = _PUNCTUATED_GROUPS.sub(lambda m: m[1] + "".join(c for c in m[2] if c.isdigit()), text)
        text = text.replace("{,}", ".").replace("\\!", "")
    if text[:1] in "nmNM":
        text = _NEGATIVE.sub("-", text)
    if "x" in text or "X" in text:
        text = _TIMES.sub("*", text)
    if "." in text:
        text = _HALF_OF_DAY.sub(r"\1m", text)
        text = _REPETEND.sub(lambda m: _repeating(m[1], m[2] or m[3]), text)
        text = _ELLIPSIS.sub(_repeating_ellipsis, text)
    return text


def _latex(text: str) -> str:
    """`text` without colours and doubled backslashes, with the units \\mu m and \\Omega by their names."""
    text = _COLOR.sub("", text) if "color" in text else text
    if _DOUBLED_THROUGHOUT.search(text):
        text = text.replace("\\\\", "\\")
    elif "\\begin" not in text:
        text = _DOUBLED_BACKSLASH.sub(r"\\", text)
    if "\\mu" in text or "\\Omega" in text:
        text = _MICRO_OR_OHM.sub(lambda unit: f" u{unit[1]}" if unit[1] else " ohm", text)
    return text


def _in_signs(text: str) -> str:
    """21st as 21, 7 squared as 7^2, 7 minus 1 as 7-1, 2 to 3 as 2:3, x^* as x'."""
    if "to" in text and (ratio := _TO.match(text)):
        return f"{ratio[1]}:{ratio[2]}"
    if text[:1] in "URIEG" and (name := _CURRENCY_NAME.match(text)):
        text = _CURRENCY_SIGNS.get((name[1] or "").rstrip("."), "") + text[name.end() :]
    if " " in text and (share := _OUT_OF.match(text)) and int(share[1]) <= int(share[2]):
        return f"({share[1]}/{share[2]})"
    if "mod" in text:
        text = _MODULO.sub(lambda m: rf" \pmod{{{m[1] or m[2]}}}", text)
    if "!" in text or "..." in text:
        text = _DOTS.sub(r"\\ldots ", _EXCLAIMED.sub(r"\1", text))
    if "^" in text:
        text = _STAR.sub("'", text)
    if "(" in text and ("|" in text or "\\mid" in text):
        text = _GIVEN.sub(r"\1_{\2 given \3}", text)
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
    return text.rstrip("\\").rstrip(_PUNCTUATION)


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

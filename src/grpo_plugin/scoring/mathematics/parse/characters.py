"""Unicode mathematics rewritten as the LaTeX or ASCII it stands for.

Full-width forms are typography and are folded to ASCII; digits of other scripts are not: no answer with them is a
number.
"""

import re

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢ", "0123456789+-ni", strict=True))
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta", "Γ": "Gamma", "Θ": "Theta",
    "Λ": "Lambda", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "𝜋": "pi",
}  # fmt: skip
_COMMANDS = {
    "≤": "le", "⩽": "le", "≥": "ge", "⩾": "ge", "≠": "ne", "∞": "infty", "∪": "cup", "∩": "cap", "∈": "in",
    "±": "pm", "∓": "mp", "≈": "approx", "√": "sqrt", "∅": "emptyset", "⟨": "langle", "⟩": "rangle", "∖": "setminus",
    "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "→": "to", "∧": "land", "∨": "lor", "≡": "equiv",
    "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∙": "cdot", "…": "ldots", "∠": "angle", "∑": "sum",
    "∫": "int", "∏": "prod", "∣": "mid",
}  # fmt: skip
_PLAIN = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "∗": "*", "⁄": "/", "∕": "/", "∶": ":", "′": "'",
    "’": "'", "‘": "'", "“": '"', "”": '"', "，": ",", "、": ", ", "。": ".", "°": r"^{\circ}", "º": r"^{\circ}",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "℃": r"^{\circ} C", "℉": r"^{\circ} F", "µ": r"\mu ", "ℓ": "l",
    "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\u200b": "",
    "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u2061": "", "\u2062": "", "\u2063": ",",
}  # fmt: skip
_TABLE = str.maketrans(
    _PLAIN
    | {char: f"\\{name} " for char, name in (_GREEK | _COMMANDS).items()}
    | {char: f" {fraction} " for char, fraction in _FRACTIONS.items()}
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
)
_SUPERSCRIPT_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_ROOT_DEGREE = re.compile("([²³⁴⁵⁶⁷⁸⁹ⁿ])√")
_TO_DIGITS = str.maketrans(_SUPERSCRIPTS)
_SUBSCRIPT_RUN = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")


def to_latex(text: str) -> str:
    """`text` with Unicode mathematics written in LaTeX; ASCII text comes back as it is."""
    if text.isascii():
        return text
    text = _ROOT_DEGREE.sub(lambda root: f"\\sqrt[{root[1].translate(_TO_DIGITS)}]", text)
    text = _SUPERSCRIPT_RUN.sub(lambda run: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, run.group())) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda run: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, run.group())) + "}", text)
    return text.translate(_TABLE)

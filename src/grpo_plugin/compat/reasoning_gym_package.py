"""The package reasoning-gym, with verifiers that do not run a model's answer as a program.

Defect: in reasoning-gym 0.1.25 the verifiers of string_insertion, spiral_matrix, binary_matrix and n_queens `eval()`
the answer, and those of countdown, puzzle24, simple_integration, intermediate_integration and polynomial_multiplication
give it to sympy's `parse_expr`, which evaluates it, too. Here the first read literals alone, and the others formulas
alone. Goes when the package reads answers without evaluating them.
"""

import ast
import importlib
import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Any

INSTALL = "pip install 'grpo-plugin[reasoning-gym]'"

_EVAL = ("string_insertion", "spiral_matrix", "binary_matrix", "n_queens")
_FORMULAS = frozenset(
    ("countdown", "puzzle24", "simple_integration", "intermediate_integration", "polynomial_multiplication")
)
_FUNCTIONS = frozenset(
    (
        *("pi", "abs", "Abs", "exp", "log", "ln", "sqrt", "erf", "Integral"),
        *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    )
)
_FORMULA = re.compile(r"[\w\s+\-*/^().,=|{}\[\]×÷]*")
_NAME = re.compile(r"[^\W\d]\w*")
_ATTRIBUTE = re.compile(r"\.\s*[^\W\d]")


def is_installed() -> bool:
    """Whether the package is there, without importing it."""
    return find_spec("reasoning_gym") is not None and version() is not None


def version() -> str | None:
    """Its version; None where it is not installed."""
    try:
        return metadata.version("reasoning-gym")
    except metadata.PackageNotFoundError:
        return None


@cache
def load() -> ModuleType:
    """The package, imported once.

    Raises:
        ImportError: it is not installed, or one of its own needs is not.
    """
    package = importlib.import_module("reasoning_gym")
    datasets = importlib.import_module("reasoning_gym.factory").DATASETS
    for name in _EVAL:
        module: Any = importlib.import_module(datasets[name][0].__module__)
        module.eval = ast.literal_eval
    return package


def may_evaluate(task: str, answer: str) -> bool:
    """Whether the verifier of a task may be given an answer: any, but for formulas those alone that are one.

    >>> may_evaluate("countdown", "(3 + 4) * 5"), may_evaluate("countdown", "open(chr(97))"), may_evaluate("maze", "a")
    (True, False, True)
    """
    if task not in _FORMULAS:
        return True
    if not _FORMULA.fullmatch(answer) or _ATTRIBUTE.search(answer):
        return False
    return all(len(name) == 1 or name in _FUNCTIONS for name in _NAME.findall(answer))

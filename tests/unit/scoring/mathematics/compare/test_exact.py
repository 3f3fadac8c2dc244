from fractions import Fraction

import pytest

from grpo_plugin.scoring.mathematics.compare.exact import exact, root
from grpo_plugin.scoring.mathematics.compare.no_value import NotExact, TooBig, Undefined
from grpo_plugin.scoring.mathematics.parse import grammar
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.tokens import tokenize


def node(text: str) -> Node:
    return grammar.parse(tokenize(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{1}{3}+\frac{1}{6}", Fraction(1, 2)),
        ("2^{-3}", Fraction(1, 8)),
        ("(-8)^{1/3}", -2),
        (r"\sqrt[3]{-\frac{8}{27}}", Fraction(-2, 3)),
        ("10!/8!", 90),
        ("7!!", 105),
        (r"\binom{40}{20}", 137846528820),
        (r"\log_2 \frac{1}{8}", -3),
        ("2 3/4", Fraction(11, 4)),
        ("-2^2", -4),
        ("1.5e-3", Fraction(3, 2000)),
        ("1101_2", 13),
        (r"\gcd(12, 18)+\max(1, 2)", 8),
        (r"\lfloor -3.5 \rfloor", -4),
        ("99999999999999999999+1", 10**20),
    ],
)
def test_rational_values(text: str, value: object) -> None:
    assert exact(node(text), {}) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (r"\sqrt{2}", NotExact),
        ("x", NotExact),
        (r"\pi", NotExact),
        (r"\sqrt{-4}", NotExact),
        ("1/0", Undefined),
        ("0^{-1}", Undefined),
        ("9^{9^{9}}", TooBig),
        ("99999999!", TooBig),
    ],
)
def test_what_has_no_rational_value(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        exact(node(text), {})


def test_roots_of_large_numbers() -> None:
    assert root(10**60, 3) == 10**20
    assert root((10**40 + 1) ** 2, 2) == 10**40 + 1
    with pytest.raises(NotExact):
        root((10**40 + 1) ** 2 - 1, 2)

from fractions import Fraction

import pytest

from grpo_plugin.scoring.mathematics import grammar
from grpo_plugin.scoring.mathematics.bounds import bounded, surely_differ
from grpo_plugin.scoring.mathematics.errors import NotExact, TooBig, Undefined, Unparsable
from grpo_plugin.scoring.mathematics.exact import exact, root
from grpo_plugin.scoring.mathematics.numeric import evaluate
from grpo_plugin.scoring.mathematics.reals import same_set, to_reals
from grpo_plugin.scoring.mathematics.tokens import tokenize


def node(text: str):  # type: ignore[no-untyped-def]
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


def test_numerical_values_to_50_digits() -> None:
    assert str(evaluate(node(r"\sqrt{2}"), {}))[:42] == "1.4142135623730950488016887242096980785696"
    assert abs(evaluate(node(r"\sin 30^\circ"), {}) - 0.5) < 1e-45
    assert abs(evaluate(node("e^{i\\pi}"), {}, complex_plane=True) + 1) < 1e-45
    with pytest.raises(Undefined):
        evaluate(node(r"\ln(-1)"), {})


def test_float_bounds_never_part_equal_numbers() -> None:
    assert surely_differ(node(r"\sqrt{2}"), node("1.4142"))
    assert not surely_differ(node(r"\sqrt{2}+\sqrt{3}"), node(r"\sqrt{5+2\sqrt{6}}"))
    assert not surely_differ(node("10^{400}"), node("1"))
    value, error = bounded(node(r"10^{15}\pi - 10^{15}\pi"))
    assert abs(value) <= error


@pytest.mark.parametrize(
    "text", ["1 2", "(1, 2", "[1, 2}", "x^", "+", r"\frac{1}", r"\text{a", "(" * 50 + "1" + ")" * 50]
)
def test_no_grammar_for_these(text: str) -> None:
    with pytest.raises(Unparsable):
        node(text)


def same(left: str, right: str) -> bool:
    one, other = to_reals(node(left)), to_reals(node(right))
    assert one is not None
    assert other is not None
    return same_set(one, other)


def test_sets_of_reals() -> None:
    assert same(r"[0, 1) \cup [1, 2]", "[0, 2]")
    assert not same(r"[0, 1) \cup (1, 2]", "[0, 2]")
    assert same(r"[0, 3] \cap (1, 5)", "(1, 3]")
    assert same(r"\mathbb{R} \setminus [0, 1)", r"(-\infty, 0) \cup [1, \infty)")
    assert same(r"\mathbb{R} \setminus \{0\}", r"x \ne 0")
    assert same(r"-2x \le 4", r"[-2, \infty)")
    assert same(r"0 \le 2x + 2 < 6", "[-1, 2)")
    assert not same("(0, 1)", r"(0, 1) \cup \{2\}")
    assert to_reals(node("(a, b)")) is None
    assert to_reals(node("x^2 < 4")) is None

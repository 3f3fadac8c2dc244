import pytest

from grpo_plugin.scoring.mathematics.compare.bounds import bounded, surely_differ
from grpo_plugin.scoring.mathematics.compare.no_value import Undefined
from grpo_plugin.scoring.mathematics.compare.numeric import evaluate
from grpo_plugin.scoring.mathematics.parse import grammar
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.tokens import tokenize


def node(text: str) -> Node:
    return grammar.parse(tokenize(text))


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

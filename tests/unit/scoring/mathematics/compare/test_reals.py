from grpo_plugin.scoring.mathematics.compare.reals import same_set, to_reals
from grpo_plugin.scoring.mathematics.parse import grammar
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.tokens import tokenize


def node(text: str) -> Node:
    return grammar.parse(tokenize(text))


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

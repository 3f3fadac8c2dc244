import pytest

from grpo_plugin.scoring.mathematics.parse import grammar
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.tokens import tokenize
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable


def node(text: str) -> Node:
    return grammar.parse(tokenize(text))


@pytest.mark.parametrize(
    "text", ["1 2", "(1, 2", "[1, 2}", "x^", "+", r"\frac{1}", r"\text{a", "(" * 50 + "1" + ")" * 50]
)
def test_no_grammar_for_these(text: str) -> None:
    with pytest.raises(Unparsable):
        node(text)

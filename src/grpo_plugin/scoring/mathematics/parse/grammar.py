"""The grammar as a whole: the rules by the sign they begin with, and the way from tokens to a node."""

from grpo_plugin.scoring.mathematics.parse import brackets, commands
from grpo_plugin.scoring.mathematics.parse.answer import answer
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.parser import Parser
from grpo_plugin.scoring.mathematics.parse.tokens import Token
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable

RULES = commands.RULES | brackets.RULES


def parse(tokens: list[Token]) -> Node:
    """The one node that all tokens make.

    Raises:
        Unparsable: they are no answer this grammar knows.
    """
    parser = Parser(tokens, RULES)
    node = answer(parser)
    if not parser.at_end:
        raise Unparsable(f"unexpected {parser.value!r}")
    return node

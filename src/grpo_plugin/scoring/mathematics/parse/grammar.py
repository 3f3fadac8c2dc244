"""The whole grammar: a table of rules by the sign that they begin with, and `parse`."""

from grpo_plugin.scoring.mathematics.parse import brackets, commands
from grpo_plugin.scoring.mathematics.parse.answer import answer
from grpo_plugin.scoring.mathematics.parse.nodes import Node
from grpo_plugin.scoring.mathematics.parse.parser import Parser
from grpo_plugin.scoring.mathematics.parse.tokens import Token
from grpo_plugin.scoring.mathematics.parse.unparsable import Unparsable

RULES = commands.RULES | brackets.RULES


def parse(tokens: list[Token]) -> Node:
    """The node of the whole token list.

    Raises:
        Unparsable: they are no answer in this grammar.
    """
    parser = Parser(tokens, RULES)
    node = answer(parser)
    if not parser.at_end:
        raise Unparsable(f"unexpected {parser.value!r}")
    return node

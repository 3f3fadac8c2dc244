"""`<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes, Qwen2.5 and Qwen3 write calls."""

import re

from grpo_plugin.environments.calls import Schemas, Turn, answer_begins, from_json, turn_with_calls

# A turn that ends within its last call may have left out the closing tag, which vLLM's parser forgives, too.
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|$)", re.DOTALL)


def parse(text: str, _schemas: Schemas) -> Turn:
    """The calls of a turn, by its text without the token that ends it."""
    found = _CALL.finditer(text, answer_begins(text))
    return turn_with_calls(text, [(match.start(), match.end(), from_json(match[1])) for match in found])

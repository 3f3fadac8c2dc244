"""`<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`, as Qwen3-Coder and Qwen3.5 do.

Values are text; a tool's schema says what they are meant to be.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from grpo_plugin.environments.calls import (
    MalformedCall,
    Schemas,
    ToolCall,
    Turn,
    answer_begins,
    checked_call,
    turn_with_calls,
)

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|$)", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*?)(?:</function>\s*|$)", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)(?:</parameter>\s*|(?=<parameter=)|$)", re.DOTALL)


def parse(text: str, schemas: Schemas) -> Turn:
    """The calls of a turn, with the values of arguments as the schemas say."""
    found = _CALL.finditer(text, answer_begins(text))
    return turn_with_calls(text, [(match.start(), match.end(), _call(match[1], schemas)) for match in found])


def _call(text: str, schemas: Schemas) -> ToolCall | MalformedCall:
    function = _FUNCTION.fullmatch(text)
    if function is None:
        return MalformedCall("a call is <function=name> with its parameters, and ends with </function>")
    name, body = function[1].strip(), function[2]
    properties = schemas.get(name, {}).get("parameters", {}).get("properties", {})
    arguments, place = {}, 0
    while parameter := _PARAMETER.match(body, place):
        key = parameter[1].strip()
        arguments[key] = _value(parameter[2].removeprefix("\n").removesuffix("\n"), properties.get(key, {}))
        place = parameter.end()
    if body[place:].strip():
        return MalformedCall(f"{name}: an argument is <parameter=name>, its value, and </parameter>")
    return checked_call(name, arguments)


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of one argument: text where its schema takes text, else JSON, or Python's words for the same."""
    if "string" in _types(schema):
        return text
    stripped = text.strip()
    for written in (stripped, {"True": "true", "False": "false", "None": "null"}.get(stripped, "")):
        try:
            return json.loads(written)
        except (ValueError, RecursionError):
            continue
    return text


def _types(schema: Mapping[str, Any]) -> list[str]:
    if "anyOf" in schema:
        return [name for option in schema["anyOf"] for name in _types(option)]
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)

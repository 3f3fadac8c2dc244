"""`{"name": …, "parameters": {…}}` as the whole turn, as Llama 3.1 and 3.2 write calls; several are divided by `;`."""

import json
import re

from grpo_plugin.environments.calls import MalformedCall, Schemas, ToolCall, Turn, from_object

_TAG = "<|python_tag|>"
_BEGINS = re.compile(r'\{\s*"(name|type|function|parameters)"')
_BETWEEN = re.compile(r"[\s;]*")
_DECODER = json.JSONDecoder()


def parse(text: str, _schemas: Schemas) -> Turn:
    """The calls of a turn; JSON that is meant as an answer stays one."""
    body = text.strip()
    if not (body.startswith(_TAG) or _BEGINS.match(body)):
        return Turn(text)
    body = body.removeprefix(_TAG)
    calls: list[ToolCall | MalformedCall] = []
    place = _end(_BETWEEN, body, 0)
    while body.startswith("{", place):
        try:
            value, place = _DECODER.raw_decode(body, place)
        except (ValueError, RecursionError) as error:
            return Turn(text, [*calls, MalformedCall(f"the call is not valid JSON ({error})")])
        calls.append(_call(value))
        place = _end(_BETWEEN, body, place)
    if not calls:
        return Turn(text, [MalformedCall("a call is a JSON object with name and parameters")])
    malformed = any(isinstance(call, MalformedCall) for call in calls)
    return Turn(text if malformed else body[place:], calls)


def _call(value: dict[str, object]) -> ToolCall | MalformedCall:
    """Llama names the arguments `parameters`; models trained by other templates, `arguments`."""
    return from_object(value, "parameters" if "parameters" in value else "arguments")


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place

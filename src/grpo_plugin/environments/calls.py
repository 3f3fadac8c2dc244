"""What a turn of the model asks for, whatever the format that it is written in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_plugin.environments.results import without_surrogates

Message = dict[str, Any]
Schemas = Mapping[str, Mapping[str, Any]]
"""The JSON schema of each tool by its name, as `transformers.utils.get_json_schema` makes it."""


@dataclass(frozen=True)
class ToolCall:
    """A call that can be read, whether or not there is such a tool."""

    name: str
    arguments: dict[str, Any]

    def message(self) -> Message:
        """The call as chat messages hold it."""
        return {"type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True)
class MalformedCall:
    """A call that cannot be read; `reason` is told to the model."""

    reason: str


@dataclass(frozen=True)
class Turn:
    """A turn of the model: its text without the calls, and the calls in their order.

    Attributes:
        content: all of the text where there is no call, or one that cannot be read.
        reasoning: what the tokenizer's response template calls so; None where the text is not taken apart.
    """

    content: str
    calls: Sequence[ToolCall | MalformedCall] = ()
    reasoning: str | None = None

    def message(self) -> Message:
        """The turn as a chat message."""
        message: Message = {"role": "assistant", "content": self.content}
        if self.reasoning is not None:
            message["reasoning_content"] = self.reasoning
        calls = [call.message() for call in self.calls if isinstance(call, ToolCall)]
        return {**message, "tool_calls": calls} if calls else message


def turn_with_calls(text: str, calls: Sequence[tuple[int, int, ToolCall | MalformedCall]]) -> Turn:
    """The turn of `text` with its calls, each with the place where it begins and ends."""
    found = [call for _, _, call in calls]
    if not found or any(isinstance(call, MalformedCall) for call in found):
        return Turn(text, found)
    ends = [0, *(end for _, end, _ in calls)]
    begins = [*(begin for begin, _, _ in calls), len(text)]
    outside = [text[end:begin] for end, begin in zip(ends, begins, strict=True)]
    return Turn("".join(outside).strip(), found)


def checked_call(name: str, arguments: dict[str, Any]) -> ToolCall | MalformedCall:
    """The call, with arguments that can be written as JSON again, in text that can be encoded."""
    try:
        written = without_surrogates(json.dumps(arguments, ensure_ascii=False))
        return ToolCall(without_surrogates(name), json.loads(written))
    except (TypeError, ValueError, RecursionError) as error:
        return MalformedCall(f"{name}: the arguments cannot be written as JSON ({error})")


def from_object(value: Any, arguments_key: str = "arguments") -> ToolCall | MalformedCall:
    """The call that a JSON object describes: its `name`, and its arguments, none where the key is missing."""
    if not isinstance(value, dict):
        return MalformedCall(f"a call is a JSON object with name and {arguments_key}, not {_kind(value)}")
    name, arguments = value.get("name"), value.get(arguments_key)
    if not isinstance(name, str) or not name:
        return MalformedCall("the call has no name")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return MalformedCall(f"the {arguments_key} of {name} are text, not a JSON object")
    arguments = {} if arguments is None else arguments
    if not isinstance(arguments, dict):
        return MalformedCall(f"the {arguments_key} of {name} are {_kind(arguments)}, not a JSON object")
    return checked_call(name, arguments)


def from_json(text: str, arguments_key: str = "arguments") -> ToolCall | MalformedCall:
    """The call that a JSON text describes."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return MalformedCall(f"the call is not valid JSON ({error})")
    return from_object(value, arguments_key)


def answer_begins(text: str) -> int:
    """Where the reasoning of a turn (`<think>…</think>`) is over; a call inside it is only thought of."""
    closed = text.rfind("</think>")
    begin = 0 if closed < 0 else closed + len("</think>")
    return len(text) if "<think>" in text[begin:] else begin


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "no JSON object")

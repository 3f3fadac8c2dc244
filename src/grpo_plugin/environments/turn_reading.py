"""The message that a turn of the model is, with its calls, from the turn's tokens."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from grpo_plugin.environments.calls import MalformedCall, Schemas, ToolCall, Turn, from_object
from grpo_plugin.environments.formats import hermes
from grpo_plugin.environments.rendering import ChatRenderer

FORMATS: dict[str, Callable[[str, Schemas], Turn]] = {"hermes": hermes.parse}


class TurnReader(Protocol):
    """Reads turns in one format."""

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        """The turn of token ids `ids`, which continue `before`; `schemas` are those of the tools."""


class TextReader:
    """By the text of the turn, in one of `FORMATS`."""

    def __init__(self, renderer: ChatRenderer, call_format: str) -> None:
        self._renderer, self._parse = renderer, FORMATS[call_format]

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        by_name = {schema["function"]["name"]: schema["function"] for schema in schemas}
        return self._parse(self._renderer.decode_turn(ids), by_name)


class ResponseTemplateReader:
    """By `parse_response` of transformers, for a tokenizer that has a response template (or the older schema)."""

    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        text = self._renderer.decode_turn(ids)
        try:
            message = self._renderer.tokenizer.parse_response(list(ids), prefix=list(before))
            return Turn(
                str(message.get("content") or ""),
                [_call(call) for call in message.get("tool_calls") or ()],
                message.get("reasoning_content"),
            )
        except Exception as error:  # the parser raises what its json, regular expressions and conversions raise
            return Turn(text, [MalformedCall(f"the call cannot be read ({error})")])


def has_response_template(tokenizer: Any) -> bool:
    """Whether transformers can parse what the model writes."""
    return getattr(tokenizer, "response_template", None) is not None


def _call(call: Any) -> ToolCall | MalformedCall:
    return from_object(call.get("function", call) if isinstance(call, dict) else call)

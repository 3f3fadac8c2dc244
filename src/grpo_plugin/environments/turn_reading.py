"""The message that a turn of the model is, with its calls, from the turn's tokens."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from grpo_plugin.environments.calls import MalformedCall, Schemas, ToolCall, Turn, from_object
from grpo_plugin.environments.formats import hermes, llama3_json, pythonic, qwen3_coder
from grpo_plugin.environments.rendering import ChatRenderer

FORMATS: dict[str, Callable[[str, Schemas], Turn]] = {
    "hermes": hermes.parse,
    "llama3_json": llama3_json.parse,
    "qwen3_coder": qwen3_coder.parse,
    "pythonic": pythonic.parse,
}


class TurnReader(Protocol):
    """Reads turns in one format."""

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        """The turn of token ids `ids`, which continue `before`; `schemas` are those of the tools."""

    def read_text(self, text: str, before: str) -> Turn:
        """The same for text, without the token that ends a turn and without schemas."""


class TextReader:
    """By the text of the turn, in one of `FORMATS`."""

    def __init__(self, renderer: ChatRenderer, call_format: str) -> None:
        self.call_format = call_format
        self._renderer, self._parse = renderer, FORMATS[call_format]

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        by_name = {schema["function"]["name"]: schema["function"] for schema in schemas}
        return self._parse(self._renderer.decode_turn(ids), by_name)

    def read_text(self, text: str, before: str) -> Turn:
        return self._parse(text, {})


class ResponseTemplateReader:
    """By transformers' `parse_response`.

    Args:
        template: a response template; None for the tokenizer's own.
    """

    def __init__(self, renderer: ChatRenderer, template: Any = None) -> None:
        self._renderer, self._template = renderer, template

    def read(self, ids: Sequence[int], before: Sequence[int], schemas: list[dict[str, Any]]) -> Turn:
        return self._read(list(ids), list(before), schemas) if ids else Turn("")

    def read_text(self, text: str, before: str) -> Turn:
        return self._read(text, before, None)

    def _read(self, response: Any, before: Any, schemas: list[dict[str, Any]] | None) -> Turn:
        try:
            message = self._renderer.tokenizer.parse_response(
                response, self._template, prefix=before, tools=schemas or None
            )
            return Turn(
                str(message.get("content") or ""),
                [_call(call) for call in message.get("tool_calls") or ()],
                message.get("reasoning_content"),
            )
        except Exception as error:  # the parser raises what its json, regular expressions and conversions raise
            text = response if isinstance(response, str) else self._renderer.decode_turn(response)
            return Turn(text, [MalformedCall(f"the call cannot be read ({' '.join(str(error).split())[:200]})")])


def _call(call: Any) -> ToolCall | MalformedCall:
    return from_object(call.get("function", call) if isinstance(call, dict) else call)

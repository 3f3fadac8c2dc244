"""Running the tools that a turn asks for: every call gets an answer, a failure too."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.calls import MalformedCall, ToolCall
from grpo_plugin.environments.instances import Instance
from grpo_plugin.environments.isolated_calls import Job
from grpo_plugin.environments.isolation import Isolation, lost_unless_over
from grpo_plugin.environments.limited_calls import CallFailed, in_loop
from grpo_plugin.environments.results import Content, content_of, error_of, shortened
from grpo_plugin.environments.tools import Tool, signature_mismatch

FAILURES = ("malformed", "unknown", "arguments", "exception", "timeout")


@dataclass(frozen=True)
class Answer:
    """What a call is answered with; `failure` is one of `FAILURES`, or None."""

    name: str
    content: Content
    failure: str | None = None


class ToolCaller:
    """Calls the tools of one episode after the other's."""

    def __init__(self, config: EnvironmentsConfig, isolation: Isolation) -> None:
        self._config, self.isolation = config, isolation

    async def answers(
        self, calls: Sequence[ToolCall | MalformedCall], tools: Mapping[str, Tool], instance: Instance | None
    ) -> list[Answer]:
        """An answer to each call, in their order.

        Calls run one after the other, as they share the instance; async ones that follow each other run together.
        """
        answers: list[Answer] = []
        for group in _side_by_side(calls, tools):
            answers += await asyncio.gather(*(self._answer(call, tools, instance) for call in group))
        return answers

    async def _answer(
        self, call: ToolCall | MalformedCall, tools: Mapping[str, Tool], instance: Instance | None
    ) -> Answer:
        if isinstance(call, MalformedCall):
            return self._failed("unknown", "malformed", f"Malformed tool call: {call.reason}.")
        tool = tools.get(call.name)
        if tool is None:
            known = ", ".join(tools)
            return self._failed(call.name, "unknown", f"Tool {call.name} not found. There are: {known}.")
        if reason := signature_mismatch(tool.signature, call.arguments):
            return self._failed(call.name, "arguments", f"{call.name}(): {reason}.")
        try:
            if tool.is_async:
                with lost_unless_over(None if tool.function else instance):
                    content = await in_loop(partial(self._content, tool, call, instance), self._config.tool_timeout)
            else:
                content = await self.isolation.call(instance, self._job(tool, call), self._config.tool_timeout)
        except CallFailed as error:
            return self._failed(call.name, error.kind, str(error))
        return Answer(call.name, content)

    async def _content(self, tool: Tool, call: ToolCall, instance: Instance | None) -> Content:
        """What an async tool returns, as content; in here, because a __str__ of the user's may raise, too."""
        result = await tool.of(None if instance is None else instance.value)(**call.arguments)
        return content_of(result, self._config.max_tool_output)

    def _job(self, tool: Tool, call: ToolCall) -> Job:
        limit = self._config.max_tool_output
        return Job(call.arguments, tool.name, tool.function, tool.spec, output_limit=limit)

    def _failed(self, name: str, failure: str, message: str) -> Answer:
        return Answer(name, error_of(shortened(message, self._config.max_tool_output)), failure)


def _side_by_side(
    calls: Sequence[ToolCall | MalformedCall], tools: Mapping[str, Tool]
) -> list[list[ToolCall | MalformedCall]]:
    """The calls in groups that run together: async ones in a row, others alone."""
    groups: list[list[ToolCall | MalformedCall]] = []
    was_async = False
    for call in calls:
        tool = tools.get(call.name) if isinstance(call, ToolCall) else None
        is_async = tool is not None and tool.is_async
        if is_async and was_async:
            groups[-1].append(call)
        else:
            groups.append([call])
        was_async = is_async
    return groups

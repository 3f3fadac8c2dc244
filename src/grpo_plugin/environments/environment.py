"""One environment of the recipe: how it is made and reset, and what its tools are."""

import asyncio
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.call_thread import CallThread
from grpo_plugin.environments.instances import Instance, InstancePool, close_unwanted
from grpo_plugin.environments.isolated_calls import Job
from grpo_plugin.environments.isolation import Isolation, lost_unless_over
from grpo_plugin.environments.limited_calls import CallFailed, in_loop, in_thread
from grpo_plugin.environments.results import Content, content_of, is_blocks
from grpo_plugin.environments.tools import Tool
from grpo_plugin.errors import EpisodeError


@dataclass(frozen=True)
class Environment:
    """What the episodes of one environment share; without a pool, they have tools alone.

    Attributes:
        kind: the class of its instances.
        hidden: columns that `reset` does not get.
    """

    pool: InstancePool | None
    kind: type[Any] | None
    tools: Mapping[str, Tool]
    config: EnvironmentsConfig
    hidden: frozenset[str] = frozenset()

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The JSON schemas of its tools, as the chat template takes them."""
        return [tool.schema for tool in self.tools.values()]

    @property
    def title(self) -> str:
        return self.kind.__name__ if self.kind else "no environment"

    async def start(
        self, row: Mapping[str, Any], label: str, isolation: Isolation
    ) -> tuple[Instance | None, Content | None]:
        """An instance, reset for `row`, and what its reset returned; `label` names the row in errors.

        Raises:
            EpisodeError: the instance could not be made or reset, or its observation is neither text nor blocks.
        """
        if self.pool is None:
            return None, None
        instance = self.pool.take() or await self._make(self.pool)
        try:
            observation = await self._reset(instance, row, isolation)
            if observation is not None and not isinstance(observation, str) and not is_blocks(observation):
                kind = type(observation).__name__
                raise CallFailed("exception", f"it returned {kind}, neither None nor text nor content blocks")
            observation = None if observation is None else content_of(observation, sys.maxsize)
        except asyncio.CancelledError:
            self.pool.drop(instance)
            raise
        except CallFailed as error:
            self.pool.drop(instance)
            raise EpisodeError(
                f"environments: {self.title}.reset() failed on {label} ({error.described}); "
                "correct the row or the environment."
            ) from error
        return instance, observation

    async def _make(self, pool: InstancePool) -> Instance:
        thread = CallThread()
        made: list[Any] = []
        try:
            await in_thread(thread, lambda: made.append(pool.make()), self.config.reset_timeout)
            return pool.add(made.pop(), thread)
        except asyncio.CancelledError:
            close_unwanted(made, thread)
            raise
        except CallFailed as error:
            close_unwanted(made, thread)
            raise EpisodeError(f"environments.factory: {self.title} could not be made ({error.described}).") from error

    async def _reset(self, instance: Instance, row: Mapping[str, Any], isolation: Isolation) -> Any:
        columns = {key: value for key, value in row.items() if key not in self.hidden}
        if self._named_columns is not None:
            columns = {key: value for key, value in columns.items() if key in self._named_columns}
        if not inspect.iscoroutinefunction(instance.value.reset):
            return await isolation.call(instance, Job(columns, method="reset"), self.config.reset_timeout)
        with lost_unless_over(instance):
            return await in_loop(partial(instance.value.reset, **columns), self.config.reset_timeout)

    @cached_property
    def _named_columns(self) -> Sequence[str] | None:
        """The columns that `reset` names; None where it takes all (`**columns`)."""
        assert self.kind is not None
        parameters = inspect.signature(self.kind.reset).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return None
        return list(parameters)

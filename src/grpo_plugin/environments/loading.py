"""The environments and tools that a recipe names, loaded and checked once per process."""

import atexit
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments.call_thread import CallThread
from grpo_plugin.environments.environment import Environment
from grpo_plugin.environments.episode import Episode
from grpo_plugin.environments.instances import InstancePool
from grpo_plugin.environments.isolation import Isolation, Processes, Threads, check_state
from grpo_plugin.environments.limited_calls import error_text
from grpo_plugin.environments.limits import Limits
from grpo_plugin.environments.own_rewards import OwnReward, own_rewards
from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.environments.templates import Rendering
from grpo_plugin.environments.tool_calling import ToolCaller
from grpo_plugin.environments.tools import Tool, check_names, function_tool, method_tools
from grpo_plugin.errors import EpisodeError, RecipeError, suggestion
from grpo_plugin.scoring.function_loading import NotLoadable, load_callable

COLUMN = "environment"
"""Of the data: the name of a row's environment, where the recipe has several."""


class Environments:
    """What the `environments:` block of a recipe names; made by `load`, ended by `close`.

    Attributes:
        by_name: of the recipe's mapping; under None where all rows have the same, or tools alone.
    """

    def __init__(self, config: EnvironmentsConfig, by_name: Mapping[str | None, Environment], base_dir: Path) -> None:
        self.config, self.by_name = config, by_name
        self._isolation = _isolation(config, base_dir)
        self._caller = ToolCaller(config, self._isolation)
        atexit.register(self.close)

    @classmethod
    def load(cls, config: EnvironmentsConfig, base_dir: Path) -> "Environments":
        """Load every class and function, and make one instance of each environment.

        Raises:
            RecipeError: one cannot be loaded or made, has no `reset`, or has a tool that cannot be described.
        """
        tools = [
            function_tool(f"environments.tools[{index}]", _resolve(spec, base_dir), spec)
            for index, spec in enumerate(config.tools)
        ]
        named = config.factory if isinstance(config.factory, dict) else {None: config.factory}
        by_name = {name: _environment(name, spec, config, tools, base_dir) for name, spec in named.items()}
        return cls(config, by_name, base_dir)

    @property
    def several(self) -> bool:
        """Whether the data's column picks the environment of a row."""
        return None not in self.by_name

    def of(self, row: Mapping[str, Any], label: str = "a row of the data") -> Environment:
        """The environment of a row; EpisodeError where its column names none."""
        if not self.several:
            return self.by_name[None]
        name = row.get(COLUMN)
        if name not in self.by_name:
            known = [str(known) for known in self.by_name]
            raise EpisodeError(
                f"environments.factory: {label} has {name!r} in its column {COLUMN!r}; {suggestion(str(name), known)}"
            )
        return self.by_name[name]

    def tool_schemas(self, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """What the chat template gets as `tools`; None where the row's environment has none."""
        return self.of(row).schemas or None

    @property
    def longest_schemas(self) -> list[dict[str, Any]]:
        """The schemas of the environment that has the most to say of its tools: what a prompt may grow by."""
        return max((environment.schemas for environment in self.by_name.values()), key=lambda found: len(str(found)))

    @cached_property
    def rewards(self) -> list[OwnReward]:
        """The rewards that environments give themselves, each once for its class, in the recipe's order."""
        kinds = (kind for environment in self.by_name.values() if (kind := environment.kind))
        return own_rewards(kinds, self.config.reset_timeout)

    def rendering(self, renderer: ChatRenderer, base_dir: Path) -> Rendering:
        """How this recipe's episodes are rendered and read; RecipeError where the chat template does not allow it."""
        return Rendering.choose(renderer, self.config, base_dir)

    def episode(
        self, row: Mapping[str, Any], rendering: Rendering, limits: Limits, label: str = "a row of the data"
    ) -> Episode:
        """A new episode of a row, which errors call `label`; the recipe's own limits are added to `limits`.

        Raises:
            EpisodeError: the row's column names no environment.
        """
        limits = Limits(
            limits.completion_tokens,
            limits.model_tokens,
            limits.turns or self.config.max_turns,
            limits.turn_tokens or self.config.max_turn_tokens,
        )
        return Episode(row, label, self.of(row, label), rendering.renderer, rendering.reader, self._caller, limits)

    def close(self) -> None:
        """Close all instances and end the worker processes; at the end of the run, and of a process that failed."""
        atexit.unregister(self.close)
        self._isolation.close()
        for environment in self.by_name.values():
            if environment.pool is not None:
                environment.pool.close()


def _environment(
    name: str | None, spec: str | None, config: EnvironmentsConfig, tools: list[Tool], base_dir: Path
) -> Environment:
    if spec is None:
        check_names("environments.tools", tools)
        return Environment(None, None, {tool.name: tool for tool in tools}, config)
    field = "environments.factory" if name is None else f"environments.factory.{name}"
    make = _resolve(spec, base_dir)
    thread = CallThread()
    try:
        probe, error = thread.submit(make).result(config.reset_timeout)
    except TimeoutError:
        thread.end()
        raise RecipeError(
            f"{field}: {spec!r} made no environment within environments.reset_timeout ({config.reset_timeout:g} s); "
            "allow more, or leave what takes long to reset()."
        ) from None
    if error is not None:
        raise RecipeError(
            f"{field}: {spec!r} made no environment ({type(error).__name__}: {error_text(error)})."
        ) from error
    if not callable(getattr(probe, "reset", None)):
        raise RecipeError(
            f"{field}: {spec!r} makes a {type(probe).__name__}, which has no method reset(); an environment has one."
        )
    if config.isolation == "processes" and (problem := check_state(f"{field} ({spec})", probe)):
        raise RecipeError(problem)
    of_both = [*tools, *method_tools(f"{field} ({spec})", probe)]
    check_names(f"{field} ({spec})", of_both)
    hidden = frozenset() if name is None else frozenset({COLUMN})
    pool = InstancePool(make)
    pool.give_back(pool.add(probe, thread))
    return Environment(pool, type(probe), {tool.name: tool for tool in of_both}, config, hidden)


def _isolation(config: EnvironmentsConfig, base_dir: Path) -> Isolation:
    if config.isolation == "threads":
        return Threads()
    factories = config.factory.values() if isinstance(config.factory, dict) else [config.factory]
    return Processes(config, [*filter(None, factories), *config.tools], base_dir)


def _resolve(spec: str, base_dir: Path) -> Callable[..., Any]:
    try:
        return load_callable(spec, base_dir, "environment or tool")
    except NotLoadable as error:
        raise RecipeError(f"environments: {error}") from error.__cause__

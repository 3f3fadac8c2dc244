"""The tools of an environment and of a recipe: which there are, and what the model is told of them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grpo_plugin.errors import RecipeError

# Methods that belong to the contract of an environment, and are no tools.
_OF_THE_CONTRACT = ("reset", "get_reward")


@dataclass(frozen=True)
class Tool:
    """A function that the model may call.

    Attributes:
        function: a function of the recipe, which names it `spec`; both are None for a method of the environment's
            instance.
    """

    name: str
    schema: dict[str, Any]
    signature: inspect.Signature
    is_async: bool
    function: Callable[..., Any] | None = None
    spec: str | None = None

    def of(self, instance: Any) -> Callable[..., Any]:
        """What is called in an episode with this instance."""
        function: Callable[..., Any] = getattr(instance, self.name) if self.function is None else self.function
        return function


def method_tools(where: str, instance: Any) -> list[Tool]:
    """The public methods of an environment, but for those of the contract.

    Raises:
        RecipeError: one lacks a docstring, a description or a type hint.
    """
    methods = inspect.getmembers(instance, predicate=inspect.ismethod)
    names = [name for name, method in methods if not name.startswith("_") and not _is_of_the_contract(name, method)]
    return [_tool(where, getattr(instance, name)) for name in names]


def function_tool(where: str, function: Callable[..., Any], spec: str) -> Tool:
    """A function of the recipe as a tool; RecipeError as in `method_tools`."""
    tool = _tool(where, function)
    return replace(tool, function=function, spec=spec)


def check_names(where: str, tools: Sequence[Tool]) -> None:
    """Raise RecipeError where two tools of one episode have the same name."""
    seen = set()
    for tool in tools:
        if tool.name in seen:
            raise RecipeError(f"{where}: two tools are called {tool.name!r}; rename one of them.")
        seen.add(tool.name)


def signature_mismatch(signature: inspect.Signature, arguments: dict[str, Any]) -> str | None:
    """Why a function cannot be called with these arguments; None where it can."""
    try:
        signature.bind(**arguments)
    except TypeError as error:
        return str(error)
    return None


def _is_of_the_contract(name: str, method: Callable[..., Any]) -> bool:
    """reset, get_reward, and a `close` that needs no argument."""
    return name in _OF_THE_CONTRACT or (name == "close" and signature_mismatch(inspect.signature(method), {}) is None)


def _tool(where: str, function: Callable[..., Any]) -> Tool:
    from transformers.utils import get_json_schema

    name = str(getattr(function, "__name__", type(function).__name__))
    try:
        schema = get_json_schema(function)
    except Exception as error:
        raise RecipeError(
            f"{where}: {name}() is no tool, because the model cannot be told how to call it ({error}); give it a "
            "docstring in Google's style and a type hint for every argument, or begin its name with an underscore."
        ) from error
    return Tool(name, schema, inspect.signature(function), inspect.iscoroutinefunction(function))

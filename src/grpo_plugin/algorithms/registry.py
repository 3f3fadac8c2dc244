"""From a name in the recipe to a function: a built-in one, or the user's own by dotted path."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from grpo_plugin.errors import RecipeError, suggestion


def resolve(field: str, name: str, known: Mapping[str, Any]) -> Any:
    """The entry called `name`, or what the dotted path `name` (`package.module.function`) points to.

    Raises:
        RecipeError: no entry has this name, or the path cannot be imported.
    """
    if name in known:
        return known[name]
    if "." not in name:
        raise RecipeError(f"algorithm.{field}: unknown name {name!r}; {_hint(name, known)}")
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"algorithm.{field}: {name!r} cannot be imported ({error}); {_hint(name, known)}") from error
    if not callable(found):
        raise RecipeError(f"algorithm.{field}: {name!r} is a {type(found).__name__}; name a function.")
    return found


def call(
    field: str, name: str, function: Callable[..., Any], offered: Mapping[str, Any], options: Mapping[str, Any]
) -> Any:
    """Call with those of the `offered` inputs that the function names, and with every option.

    Raises:
        RecipeError: an option that the function does not take, or a required input that is neither offered nor given.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**offered, **options)
    names = {parameter.name for parameter in parameters}
    if unknown := sorted(set(options) - (names - set(offered))):
        known = ", ".join(sorted(names - set(offered))) or "none"
        raise RecipeError(f"algorithm.{field}: {name!r} has no option {unknown[0]!r}; its options: {known}.")
    inputs = {key: value for key, value in offered.items() if key in names}
    required = {p.name for p in parameters if p.default is p.empty}
    if missing := sorted(key for key in required if inputs.get(key, options.get(key)) is None):
        raise RecipeError(f"algorithm.{field}: {name!r} needs {missing[0]!r}, which this run does not have.")
    return function(**inputs, **options)


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return suggestion(name, known, f"known: {', '.join(known)}, or package.module.function.")

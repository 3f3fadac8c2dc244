"""The `plugins:` of a recipe: which of them are this package's."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.config.plugin_modules import PLUGINS
from grpo_plugin.errors import RecipeError, nearest, suggestion

PACKAGE = "grpo_plugin"


def is_ours(values: Mapping[str, Any]) -> bool:
    """Whether a recipe is for this package: it names one of our plugins, even misspelt, or has one of our blocks."""
    packages = {plugin.split(".")[0] for plugin in plugin_names(values)}
    return bool(BLOCKS.keys() & values.keys()) or any(nearest(package, [PACKAGE]) for package in packages)


def has_foreign_plugins(values: Mapping[str, Any]) -> bool:
    """Whether a plugin that is not this package's may add keys to the recipe."""
    return any(not plugin.startswith(f"{PACKAGE}.") for plugin in plugin_names(values))


def plugin_names(values: Mapping[str, Any]) -> list[str]:
    """The plugins in values that nothing has checked yet."""
    plugins = values.get("plugins") or []
    return [str(plugin) for plugin in (plugins if isinstance(plugins, list | tuple) else [plugins])]


def our_plugins(values: Mapping[str, Any]) -> list[str]:
    """The class names of our plugins that the recipe names.

    Raises:
        RecipeError: for a plugin that cannot be imported, which Axolotl would leave out without an error.
    """
    return [name for plugin in values.get("plugins") or [] if (name := _our_name(str(plugin)))]


def _our_name(plugin: str) -> str | None:
    """The class name of one of our plugins; None for a plugin of another package that can be imported."""
    module, _, name = plugin.rpartition(".")
    if module == PACKAGE and name in PLUGINS:
        return name
    if module == PACKAGE or not (_importable(module) or _importable(f"axolotl.integrations.{module}")):
        known = [f"{PACKAGE}.{ours}" for ours in PLUGINS]
        hint = suggestion(plugin, known, f"this package has {', '.join(known)}.")
        raise RecipeError(f"plugins: {plugin!r} cannot be imported; {hint}")
    return None


def _importable(module: str) -> bool:
    try:
        return bool(module) and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False

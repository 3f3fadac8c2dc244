"""Axolotl plugins for reinforcement learning with verifiable rewards.

A recipe names them as `grpo_plugin.RolloutPlugin` and so on; importing this package loads none of them.
"""

TYPE_CHECKING = False  # typing itself would cost every interpreter start of this environment a millisecond
if TYPE_CHECKING:
    from typing import Any

    from grpo_plugin.plugins import (
        AlgorithmPlugin,
        EnvironmentPlugin,
        PromptPlugin,
        RewardPlugin,
        RolloutPlugin,
        ValidationPlugin,
    )
    from grpo_plugin.quickstart.plugin import QuickstartPlugin

__all__ = [  # noqa: RUF022 — in the order of a training step
    "PromptPlugin",
    "RolloutPlugin",
    "EnvironmentPlugin",
    "RewardPlugin",
    "AlgorithmPlugin",
    "ValidationPlugin",
    "QuickstartPlugin",
]


def __getattr__(name: str) -> "Any":
    """Import a plugin when a recipe asks for it, so that this package costs nothing before.

    Raises:
        GrpoPluginError: it cannot be imported. Axolotl would go on without it after an ImportError.
    """
    from grpo_plugin.config.plugin_modules import PLUGINS

    if name not in PLUGINS:
        raise AttributeError(f"module 'grpo_plugin' has no attribute {name!r}; its plugins are {', '.join(PLUGINS)}")
    from importlib import import_module

    try:
        return getattr(import_module(PLUGINS[name]), name)
    except ImportError as error:
        from grpo_plugin.errors import GrpoPluginError

        raise GrpoPluginError(
            f"grpo_plugin.{name}: cannot be imported ({error}); install this package again, with what it needs."
        ) from error

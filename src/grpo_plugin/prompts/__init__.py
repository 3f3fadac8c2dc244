"""Prompts from datasets: reading rows, chat messages, checks, length limits, images, order.

`load` imports `datasets` when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpo_plugin.prompts.loading import PromptData, load

__all__ = ["PromptData", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'grpo_plugin.prompts' has no attribute {name!r}")
    from grpo_plugin.prompts import loading

    return getattr(loading, name)

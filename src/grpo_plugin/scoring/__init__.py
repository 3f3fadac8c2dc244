"""Reward functions: loading, checking, running.

A reward's own module imports from here too (`text_of`, the mathematics grader), so nothing loads before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpo_plugin.scoring.reward_set import RewardSet, load

__all__ = ["RewardSet", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from grpo_plugin.scoring import reward_set

    return getattr(reward_set, name)

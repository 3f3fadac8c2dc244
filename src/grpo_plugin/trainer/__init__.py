"""Axolotl's subclass of TRL's GRPOTrainer with our training step; `trainer.py` shows the step on one page."""

from typing import Any

__all__ = ["PolicyTrainer"]


def __getattr__(name: str) -> Any:
    """Axolotl asks for the class by name once the plugins are registered; TRL is imported then."""
    if name != "PolicyTrainer":
        raise AttributeError(f"module 'grpo_plugin.trainer' has no attribute {name!r}")
    from grpo_plugin.trainer.trainer import PolicyTrainer

    return PolicyTrainer

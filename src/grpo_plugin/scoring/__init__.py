"""Reward functions: loading, checking, running."""

from grpo_plugin.scoring.reward_set import RewardSet, load

__all__ = ["RewardSet", "load"]

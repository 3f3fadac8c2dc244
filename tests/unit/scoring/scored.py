from pathlib import Path
from typing import Any

from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring.batch_scores import BatchScores

FOLDER = Path(__file__).parent


def score(rewards: RewardSet, completions: list[Any], **columns: list[Any]) -> list[list[float | None]]:
    """Scores of plain completions with empty prompts, by function."""
    return scored(rewards, completions, **columns).by_function


def scored(rewards: RewardSet, completions: list[Any], **columns: list[Any]) -> BatchScores:
    """The same with everything that belongs to them."""
    return rewards.score([""] * len(completions), completions, [[0] * 3] * len(completions), columns)

"""What runs in a worker process: the recipe's functions, loaded once, called completion by completion or on batches."""

from collections.abc import Sequence
from pathlib import Path

from grpo_plugin.config.rewards import RewardFunction
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.calling import score_batch, score_one
from grpo_plugin.scoring.completions import CompletionBatch
from grpo_plugin.scoring.processes import killed_after
from grpo_plugin.scoring.reward import Reward, build
from grpo_plugin.scoring.verdicts import Outcome

# Seconds after its time limit at which a worker ends by itself, if the trainer did not end it.
_GRACE = 10.0

_rewards: dict[int, Reward | RewardError] = {}


def prepare(functions: Sequence[tuple[int, RewardFunction]], base_dir: Path) -> None:
    """Load the functions (with their place in the recipe); one that cannot be loaded is an error when it is called."""
    for index, function in functions:
        try:
            reward = build(function, index, base_dir)
            reward.warm_up()
            _rewards[index] = reward
        except RewardError as error:
            _rewards[index] = error


def ping() -> None:
    """Return at once, which shows the trainer that a worker is ready."""


def score_each(index: int, batch: CompletionBatch, limit: float) -> list[Outcome]:
    """Call function `index` on every completion of `batch` by itself."""
    with killed_after(limit + _GRACE):
        return [score_one(_reward(index), batch, row) for row in range(len(batch))]


def score_together(index: int, batch: CompletionBatch, limit: float) -> list[Outcome]:
    """Call function `index` once on all completions."""
    with killed_after(limit + _GRACE):
        return score_batch(_reward(index), batch)


def depends_on_batch(index: int, batch: CompletionBatch, limit: float) -> bool:
    """Whether a function scores completions differently together and one by one; False where one of them is lost.

    Raises:
        RewardError: the function is broken on one of them.
    """
    outcomes = score_each(index, batch, limit)
    for outcome in outcomes:
        if outcome.error is not None and not outcome.lost:
            raise RewardError(outcome.error)
    if any(outcome.lost for outcome in outcomes):
        return False
    alone = [outcome.score for outcome in outcomes]
    try:
        return [outcome.score for outcome in score_together(index, batch, limit)] != alone
    except RewardError:
        return None not in alone


def _reward(index: int) -> Reward:
    reward = _rewards[index]
    if isinstance(reward, RewardError):
        raise reward
    return reward

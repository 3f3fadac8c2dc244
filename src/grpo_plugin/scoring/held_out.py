"""The reward functions of sets of held-out prompts that have their own."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from grpo_plugin.config.rewards import RewardFunction, RewardsConfig
from grpo_plugin.config.validation import EvaluationOptions
from grpo_plugin.scoring.reward_set import RewardSet, load


def load_own(
    sets: Mapping[str, EvaluationOptions], rewards: RewardsConfig | None, base_dir: Path
) -> dict[str, RewardSet]:
    """By name the rewards of each set whose options name a `reward`; sets with the same function share one.

    Args:
        rewards: of training, for time limits and workers.

    Raises:
        RewardError: a function cannot be found, imported or called as a reward.
    """
    loaded: dict[str, RewardSet] = {}
    with ExitStack() as opened:  # closes those that were loaded where a later one cannot be
        for function in dict.fromkeys(options.reward for options in sets.values() if options.reward):
            functions = [RewardFunction.model_validate({"function": function})]
            config = RewardsConfig(functions=functions) if rewards is None else rewards
            loaded[function] = load(config.model_copy(update={"functions": functions}), base_dir)
            opened.callback(loaded[function].close)
        opened.pop_all()
    return {name: loaded[options.reward] for name, options in sets.items() if options.reward}

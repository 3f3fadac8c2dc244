"""What a reward function's module knows of answers: how to find one in a completion, and which two are the same."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.reward import Reward


@dataclass(frozen=True)
class Ballot:
    """`extract` gives the final answer of a completion's text, or None; `equivalent` compares two answers."""

    extract: Callable[[str], str | None]
    equivalent: Callable[[str, str], bool]


def ballot_of(reward: Reward) -> Ballot:
    """The functions `extract` and `equivalent` of the module that a reward function stands in.

    Raises:
        RewardError: it lacks one of them.
    """
    module = inspect.getmodule(reward.function)
    found = [getattr(module, name, None) for name in ("extract", "equivalent")]
    if not all(callable(function) for function in found):
        raise RewardError(
            f"validation.majority_at: {reward.config.function} has no extract(text) and equivalent(answer, other) in "
            "its module, which say what counts as the same vote; add both, or remove majority_at."
        )
    return Ballot(*found)  # type: ignore[arg-type]

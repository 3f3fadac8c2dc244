"""What a reward function's module knows of answers: how to find one in a completion, and which two are the same."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.reward import Reward

log = logging.getLogger(__name__)
_LOGGED = 500  # characters of an answer


@dataclass(frozen=True)
class Ballot:
    """`extract` gives the final answer of a completion's text, or None; `equivalent` compares two answers.

    A completion may hold anything, so an error of theirs is logged and stops no run.
    """

    extract: Callable[[str], str | None]
    equivalent: Callable[[str, str], bool]

    def answer(self, text: str) -> str | None:
        """The answer of a completion; None where it has none, or one that raises when found or compared to itself."""
        try:
            found = self.extract(text)
            if found is not None:
                found = str(found)
                self.equivalent(found, found)
        except Exception:
            log.warning("no vote for the completion that ends in %r", text[-_LOGGED:], exc_info=True)
            return None
        return found

    def same(self, answer: str, other: str) -> bool:
        """Whether two answers count as one; where that cannot be said, they do not."""
        try:
            return bool(self.equivalent(answer, other))
        except Exception:
            log.warning("the votes %r and %r cannot be compared", answer[:_LOGGED], other[:_LOGGED], exc_info=True)
            return False


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

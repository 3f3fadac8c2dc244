"""Every error this package raises on purpose.

Each message is one sentence that a user can act on: the field, its value, what is expected, the remedy.
"""

import difflib
from collections.abc import Iterable


class GrpoPluginError(Exception):
    """Base class; whatever is raised on purpose derives from it and from a standard type."""


class RecipeError(GrpoPluginError, ValueError):
    """The recipe, the command line or the machine does not allow the run that was asked for."""


class DataError(GrpoPluginError, ValueError):
    """A dataset is missing, malformed or empty."""


class RewardError(GrpoPluginError, RuntimeError):
    """A reward function could not be loaded, or did not return one finite number per completion."""


class EpisodeError(GrpoPluginError, RuntimeError):
    """An environment could not be made, reset or scored, or its row cannot be an episode."""


class RolloutError(GrpoPluginError, RuntimeError):
    """The vLLM server could not be started, reached, synchronised or trusted."""


class TrainingError(GrpoPluginError, ArithmeticError):
    """An optimizer step could not be taken."""


def nearest(word: str, known: Iterable[str], *, alike: float = 0.6) -> str | None:
    """The known word whose spelling is closest; None if none is at least `alike`, from 0 to 1 (difflib's ratio)."""
    matches = difflib.get_close_matches(str(word), list(known), n=1, cutoff=alike)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str], otherwise: str | None = None, *, alike: float = 0.6) -> str:
    """The end of a sentence about an unknown name: `did you mean 'accuracy'?`, else `known: accuracy, format.`

    Args:
        otherwise: said in place of the list where no known name is close.
    """
    names = list(known)
    if close := nearest(word, names, alike=alike):
        return f"did you mean {close!r}?"
    return otherwise or f"known: {', '.join(names) or 'none'}."

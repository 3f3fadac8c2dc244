"""Every error this package raises on purpose.

Each message is one sentence a user can act on: the field, its value, what is known, the remedy.
"""


class GrpoPluginError(Exception):
    """Base class; whatever is raised on purpose derives from it and from a standard type."""


class RecipeError(GrpoPluginError, ValueError):
    """The recipe, the command line or the machine cannot give the run that was asked for."""


class DataError(GrpoPluginError, ValueError):
    """A dataset is missing, malformed or empty."""


class RewardError(GrpoPluginError, RuntimeError):
    """A reward function could not be loaded, or did not return one finite number per completion."""


class RolloutError(GrpoPluginError, RuntimeError):
    """The vLLM server could not be started, reached, synchronised or trusted."""

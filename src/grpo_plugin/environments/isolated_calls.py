"""One blocking call of user code, and the worker process that makes such calls."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grpo_plugin.environments.limited_calls import error_text
from grpo_plugin.environments.results import content_of
from grpo_plugin.scoring.function_loading import load_callable
from grpo_plugin.scoring.processes import killed_after
from grpo_plugin.scoring.side_effects import contained

# Seconds after its time limit at which a worker ends by itself, if the trainer did not end it.
_GRACE = 10.0

_functions: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Job:
    """A call to make.

    Attributes:
        function: None for a method of the instance, and in a worker, which loads what `spec` names.
        spec: of a function of the recipe.
        output_limit: characters of a result that becomes a message; None for a result that stays as it is.
    """

    arguments: Mapping[str, Any]
    method: str = ""
    function: Callable[..., Any] | None = None
    spec: str | None = None
    output_limit: int | None = None

    def for_worker(self) -> "Job":
        """The same without the function, which may not be picklable."""
        return replace(self, function=None)


@dataclass(frozen=True)
class Failure:
    """A call that raised: in words for the model, and for a person."""

    message: str
    described: str = ""


def perform(instance: Any, job: Job) -> Any:
    """Make the call on `instance`, in this thread; a long result is shortened here, too, as that may take time."""
    function = job.function or getattr(instance, job.method)
    result = function(**job.arguments)
    return result if job.output_limit is None else content_of(result, job.output_limit)


def prepare(specs: Sequence[str], base_dir: Path) -> None:
    """Load what the recipe names, so that instances of its classes can be received."""
    _functions.update({spec: load_callable(spec, base_dir) for spec in specs})


def run(sent: bytes, seconds: float) -> bytes | Failure:
    """Make the call of a pickled instance and `Job` in a worker; the pickled instance and result."""
    with killed_after(seconds + _GRACE):
        try:
            with contained():
                instance, job = pickle.loads(sent)
                if job.spec is not None:
                    job = replace(job, function=_functions[job.spec])
                result = perform(instance, job)
        except BaseException as error:  # SystemExit, too
            return Failure(error_text(error), f"{type(error).__name__}: {error_text(error)}")
        try:
            with contained():
                returned = pickle.dumps((instance, result))
                pickle.loads(returned)  # as the trainer will
            return returned
        except BaseException as error:
            return Failure(f"The state or the result cannot be sent back ({error_text(error)}).")

"""Make the quickstart's model, or wait for the process that makes it. torch is imported only to make it."""

import sys
import time
from pathlib import Path

from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.quickstart.fingerprint import is_ready
from grpo_plugin.quickstart.progress import Progress

TAUGHT = {"addition": "to add", "calculator": "to use a calculator", "guessing": "to play a game"}


def ensure(folder: str | Path, settings: QuickstartConfig) -> None:
    """Make the model in `folder` unless it is there, with one line of progress on stderr.

    Raises:
        RecipeError: when `folder` holds something that this did not make.
    """
    if is_ready(folder, settings):
        return
    from grpo_plugin.quickstart.model import make

    with Progress(sys.stderr, f"quickstart: teaching a small model {TAUGHT[settings.task]}, into {folder}") as progress:
        make(folder, settings, progress)


def wait_until_ready(folder: str | Path, settings: QuickstartConfig, seconds: float) -> None:
    """Wait for the process that makes the model.

    Raises:
        RecipeError: when it is not there after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not is_ready(folder, settings):
        if time.monotonic() > deadline:
            raise RecipeError(
                f"base_model: {str(folder)!r} is not there after {seconds:.0f} s, though rank 0 should make it; make "
                f"it beforehand with `python -m grpo_plugin.quickstart`."
            )
        time.sleep(0.2)

"""Checkpoints that are whole or not there, with what a run needs beside transformers' files to resume exactly.

Every rank has the same state, so that it is written once and a run may go on with another number of ranks.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.checkpoints import UNFINISHED
from grpo_plugin.trainer.checkpoint_data import as_data, load_data

FILE = "rollouts.pt"


def clear_unfinished(output_dir: Path) -> None:
    """Remove what a save that was killed has left."""
    shutil.rmtree(output_dir / UNFINISHED, ignore_errors=True)


def publish(name: str, output_dir: Path, accelerator: Accelerator) -> None:
    """Give the checkpoint `name`, which every rank has written in UNFINISHED, its place in `output_dir`. Collective.

    A checkpoint of the same name, of an earlier run, is replaced.
    """
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _move(output_dir / UNFINISHED / name, output_dir / name)
    accelerator.wait_for_everyone()
    if accelerator.is_local_main_process:  # of another machine, whose output_dir is a disk of its own
        _move(output_dir / UNFINISHED / name, output_dir / name)
    accelerator.wait_for_everyone()


def _move(written: Path, place: Path) -> None:
    if not written.is_dir():
        return
    with suppress(FileNotFoundError):  # another machine was faster
        if place.exists():
            place.rename(written.parent / f"replaced-{place.name}")
        written.rename(place)
    clear_unfinished(place.parent)


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of the trainer's parts, by name; on the main process alone."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(as_data(state), folder / FILE)


def load(folder: Path) -> dict[str, Any] | None:
    """What `save` wrote; None for a checkpoint of another trainer. Code in the file is not run.

    Raises:
        RecipeError: the file is broken, or holds more than data.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        state: dict[str, Any] = load_data(folder / FILE)
    except Exception as error:
        raise RecipeError(
            f"resume_from_checkpoint: {folder / FILE} is not what a checkpoint of this version holds "
            f"({str(error).splitlines()[0][:200]}); resume from another checkpoint."
        ) from error
    return state

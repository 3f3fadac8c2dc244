"""Checkpoints that are whole or not there, with what a run needs beside transformers' files to resume exactly."""

import shutil
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from grpo_plugin.recipe.checkpoints import UNFINISHED

SHARED = "rollouts.pt"


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


def save(folder: Path, shared: dict[str, Any], remaining: deque[Any], accelerator: Accelerator) -> None:
    """Write the state that all ranks share once, and each rank's remaining micro-batches of the current batch."""
    folder.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        torch.save(shared, folder / SHARED)
    torch.save(remaining, folder / _rank_file(accelerator))


def load(folder: Path, accelerator: Accelerator) -> tuple[dict[str, Any], deque[Any]] | None:
    """What `save` wrote; None for a checkpoint of another trainer.

    With another number of processes the rest of the batch is dropped: the next one is generated.
    """
    if not (folder / SHARED).is_file():
        return None
    shared: dict[str, Any] = torch.load(folder / SHARED, weights_only=False)
    path = folder / _rank_file(accelerator)
    remaining: deque[Any] = torch.load(path, weights_only=False) if path.is_file() else deque()
    return shared, remaining


def _rank_file(accelerator: Accelerator) -> str:
    return f"micro-batches-{accelerator.process_index}-of-{accelerator.num_processes}.pt"

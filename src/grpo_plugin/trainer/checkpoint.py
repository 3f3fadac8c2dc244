"""What a checkpoint needs beside transformers' own files, so that a resumed run goes on with the same rollouts."""

from collections import deque
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

SHARED = "rollouts.pt"


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

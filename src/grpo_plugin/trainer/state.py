"""What a checkpoint needs beside transformers' own files, so that a resumed run goes on with the same completions."""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

SHARED = "rollouts.pt"


def save(folder: Path, shared: dict[str, Any], ticks: deque[Any], trainer: "PolicyTrainer") -> None:
    """Keep the feed's place and surplus groups once, and the passes still to run of each rank."""
    folder.mkdir(parents=True, exist_ok=True)
    if trainer.accelerator.is_main_process:
        torch.save(shared, folder / SHARED)
    torch.save(ticks, folder / _ticks_file(trainer))


def load(folder: Path, trainer: "PolicyTrainer") -> tuple[dict[str, Any], deque[Any]] | None:
    """What `save` kept; None for a checkpoint of another trainer.

    With another number of processes what was left of a batch is dropped: the next one is drawn.
    """
    if not (folder / SHARED).is_file():
        return None
    shared: dict[str, Any] = torch.load(folder / SHARED, weights_only=False)
    path = folder / _ticks_file(trainer)
    ticks: deque[Any] = torch.load(path, weights_only=False) if path.is_file() else deque()
    return shared, ticks


def _ticks_file(trainer: "PolicyTrainer") -> str:
    return f"passes-{trainer.accelerator.process_index}-of-{trainer.accelerator.num_processes}.pt"

"""A private folder, in shared memory where that is large enough, for as long as the server needs to read from it."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grpo_plugin.rollout.server.endpoint import shared_memory_dir

LOG = logging.getLogger(__name__)

MARGIN = 16 * 2**20
"""Bytes of shared memory left to others (torch's data loaders, NCCL)."""


@contextmanager
def shared_folder(run_dir: Path, name: str, needed: int) -> Iterator[Path]:
    """A new folder for `needed` bytes that no other user can enter; it is gone afterwards, also after an error.

    It lies under the folder in shared memory that belongs to `run_dir` (the guard removes that one if this process
    is killed), or under `run_dir` itself when shared memory is too small.
    """
    parent = shared_memory_dir(run_dir)
    if (free := _free(parent.parent)) < needed + MARGIN:
        LOG.warning(
            "%s: %s bytes are free and the weights need %s, so they go through %s, which is slower; give the machine "
            "or container more shared memory (docker run --shm-size).",
            *(parent.parent, free, needed, run_dir),
        )
        parent = run_dir / "weights"
    # Not exist_ok: in a folder that anyone may write to, a name that is taken may be someone else's trap.
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(mode=0o700)
    try:
        folder = parent / name
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _free(folder: Path) -> int:
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize

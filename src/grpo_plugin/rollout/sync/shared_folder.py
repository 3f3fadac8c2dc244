"""A private folder for the server to read from, in shared memory where there is room."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grpo_plugin.rollout.server.endpoint import shared_memory_prefix

LOG = logging.getLogger(__name__)

MARGIN = 16 * 2**20
"""Bytes of shared memory left to others (torch's data loaders, NCCL)."""


@contextmanager
def shared_folder(run_dir: Path, name: str, needed: int) -> Iterator[Path]:
    """A new folder `name` with room for `needed` bytes, which no other user can enter; removed afterwards.

    It lies in a folder in shared memory that has an unguessable name and belongs to `run_dir` (the guard removes it if
    this process is killed), or in `run_dir` itself when shared memory is too small.
    """
    prefix = Path(shared_memory_prefix(run_dir))
    if (free := _free(prefix.parent)) < needed + MARGIN:
        LOG.warning(
            "%s: %s bytes are free and the weights need %s, so they go through %s, which is slower; give the machine "
            "or container more shared memory (docker run --shm-size).",
            *(prefix.parent, free, needed, run_dir),
        )
        prefix = run_dir / "weights-"
    parent = Path(tempfile.mkdtemp(prefix=prefix.name, dir=prefix.parent))  # mode 0700, and new
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

"""A disk of a few MB for a test: a tmpfs, mounted for the test alone."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: float, *options: str) -> Iterator[Path]:
    """`folder` as a disk of this size; skips the test where it may not be mounted, and fails it in CI."""
    folder.mkdir(parents=True, exist_ok=True)
    how = ",".join([f"size={int(megabytes * 1024)}k", *options])
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        assert not os.environ.get("CI"), mounted.stderr
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill the disk of `folder` but for `leave` bytes; returns the file that does it."""
    filler = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("wb") as file:
        file.write(b"x" * max(0, free - leave))
    return filler

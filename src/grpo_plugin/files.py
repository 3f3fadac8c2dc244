"""Files that are replaced atomically, and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary file to write in the block; it replaces `path` when the block ends, and is removed when it raises.

    It lies in the same folder, hidden by a dot, and has the same suffix. Readers see the old file or the new one, never
    a part of one.

    Args:
        path: a file in a folder that exists.
        private: create it readable and writable by this user alone (mode 0600).
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        if private:
            temporary.unlink(missing_ok=True)  # a file left by a killed process may have another mode
            temporary.touch(mode=0o600)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to fill in the block; it becomes `path` when the block ends, and is removed when it raises.

    It lies beside `path`; in it where `path` is there already, which may be a volume that cannot be replaced.

    Args:
        path: a folder that is new or empty.
    """
    path = path.resolve()
    there = path.exists()
    temporary = (path if there else path.parent) / f".{os.getpid()}-{path.name}"
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if there:
            for each in list(temporary.iterdir()):
                each.rename(path / each.name)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

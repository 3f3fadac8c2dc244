"""Files that are replaced atomically."""

import os
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

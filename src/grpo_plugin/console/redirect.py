"""Keep the screen for what the user wants to read: all other output of this process goes to a log file."""

import os
import sys
from pathlib import Path
from typing import TextIO


def redirect(log: Path) -> TextIO:
    """Send file descriptors 1 and 2 to `log`, appending, also for C++ code and child processes.

    Returns:
        The old standard output, which is a terminal if that was one.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    console = os.fdopen(os.dup(1), "w", buffering=1, encoding=encoding, errors="replace")
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
    return console


def _flush() -> None:
    """Write out Python's buffers before the descriptors change."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()

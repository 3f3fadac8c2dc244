"""Keep the screen for what the user wants to read: all other output of this process goes to debug.log."""

import os
import sys
from pathlib import Path
from typing import TextIO


class Redirection:
    """File descriptors 1 and 2 end in `log`, also for C++ code and child processes; `console` is the old stdout."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        _flush()
        self.log = log
        self._saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self.console: TextIO = os.fdopen(os.dup(1), "w", buffering=1, encoding=encoding, errors="replace")
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in self._saved:
            os.dup2(target, descriptor)
        os.close(target)

    def restore(self) -> None:
        """Give the process its stdout and stderr back; may be called twice."""
        _flush()
        while self._saved:
            descriptor, saved = self._saved.popitem()
            os.dup2(saved, descriptor)
            os.close(saved)
        self.console.close()


def redirect(output_dir: Path) -> Redirection:
    """Send the noise of this process and its children to `output_dir/debug.log`, appending."""
    return Redirection(output_dir / "debug.log")


def _flush() -> None:
    """What Python has buffered belongs to where the descriptor pointed when it was written."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()

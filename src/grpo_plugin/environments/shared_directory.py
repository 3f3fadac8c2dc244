"""The working directory, which belongs to the whole process, while blocking calls run in several of its threads."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedDirectory:
    """Restores the working directory after calls that change it.

    Not before the last of those that run at a time is over: one may be working where it has gone to.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._before: str | None = None

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A block to make one call in."""
        with self._lock:
            if self._running == 0:
                self._before = _current()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0 and self._before is not None and _current() != self._before:
                    with contextlib.suppress(OSError):
                        os.chdir(self._before)


def _current() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 — a path that is not resolved
    except OSError:
        return None

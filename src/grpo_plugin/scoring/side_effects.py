"""Limits or undoes what a reward function does to its process: working directory, forks, prints, changed inputs."""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

# What reward functions may print, per process and run; bytes in a worker, characters in the trainer.
PRINT_LIMIT = 2**20
_LEFT_OUT = "\n[reward functions printed more than 1 MiB in this process; the rest is left out]\n"
_UNCHANGEABLE = frozenset((int, float, str, bool, bytes, type(None)))


@contextmanager
def contained() -> Iterator[None]:
    """A block to call a reward function in: it may change the working directory, fork and print without harm to the
    run.

    The working directory is restored, a forked child that comes out of the function ends here, and what is printed
    goes to standard error, up to `PRINT_LIMIT`.
    """
    with restored_directory(), _bounded_prints():
        yield


@contextmanager
def restored_directory() -> Iterator[None]:
    """A block to run user code in, such as the import of a module: a forked child of it ends here."""
    pid, folder = os.getpid(), _working_directory()
    try:
        yield
    finally:
        if os.getpid() != pid:
            os._exit(0)
        if folder is not None and _working_directory() != folder:
            with contextlib.suppress(OSError):
                os.chdir(folder)


def private_copy(value: Any) -> Any:
    """A copy of nested lists, tuples, dicts and sets; it shares other objects with `value`, and no container."""
    if isinstance(value, list):
        return value.copy() if _UNCHANGEABLE.issuperset(map(type, value)) else [private_copy(item) for item in value]
    if isinstance(value, dict):
        return {key: private_copy(item) for key, item in value.items()}
    if type(value) is tuple:
        return tuple(private_copy(item) for item in value)
    return value.copy() if isinstance(value, set) else value


def bound_output() -> None:
    """From now on this process and what it starts may write `PRINT_LIMIT` bytes to its standard output and error.

    Both go to today's standard error, so that standard output stays what the command prints.
    """
    reader, writer = os.pipe()
    target = os.dup(2)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.close(writer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    threading.Thread(target=_copy, args=(reader, target), name="bounded output", daemon=True).start()


def _copy(reader: int, target: int) -> None:
    """Bytes from one descriptor to the other, until the limit; what comes after it is read and dropped."""
    left = PRINT_LIMIT
    while data := os.read(reader, 2**16):
        passed = data[: max(left, 0)]
        if left >= 0 and len(data) > left:
            passed += _LEFT_OUT.encode()
        left -= len(data)
        with contextlib.suppress(OSError):
            os.write(target, passed)


class _BoundedStream(io.TextIOBase):
    """Text that goes on to standard error, as long as `left` lasts."""

    left = PRINT_LIMIT  # of the process: a reward printing in every batch uses it up

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def write(self, text: str) -> int:
        left = _BoundedStream.left
        passed = text[: max(left, 0)]
        if left >= 0 and len(text) > left:
            passed += _LEFT_OUT
        _BoundedStream.left = max(left - len(text), -1)
        self._target.write(passed)
        return len(text)

    def flush(self) -> None:
        self._target.flush()

    def fileno(self) -> int:
        return self._target.fileno()

    def writable(self) -> bool:
        return True


@contextmanager
def _bounded_prints() -> Iterator[None]:
    if isinstance(sys.stdout, _BoundedStream):
        yield
        return
    bounded = _BoundedStream(sys.stderr)
    with redirect_stdout(bounded), redirect_stderr(bounded):
        yield


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 — a path that is not resolved
    except OSError:
        return None

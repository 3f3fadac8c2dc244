"""A limit on the time and the memory of templates, which come with a model and may compute without end.

Jinja's sandbox keeps a template from Python's inner parts, and not from `10**(10**8)`, from loops within loops or from
`'a'.center(4 * 10**9)`, during which nothing in the process can end it; and it computes constants when it compiles. So
templates are compiled and rendered in a forked process, which can be ended.
"""

import multiprocessing
import os
import resource
import signal
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from grpo_plugin.scoring.sandbox.namespaces import end_with_parent

SECONDS = 20.0
"""For one prompt; a usual template takes less than a millisecond."""

BYTES = 2**30
"""Memory that rendering may take beyond what the process has."""

_NOT_TAKEN = -1
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else None)


class TooMuch(ValueError):
    """Rendering took longer than SECONDS or more than BYTES, or ended its process."""


class LimitedRenderer:
    """Renders several items at a time, in a process of its own that is forked with the first of them.

    Args:
        make: called there; returns the function item → text. The items travel by pickle.
    """

    def __init__(self, make: Callable[[], Callable[[Any], str]]) -> None:
        self._make = make
        self._at = multiprocessing.RawValue("q", _NOT_TAKEN)  # the item that is being rendered
        self._connection: Connection | None = None
        self._end: Callable[[], None] = lambda: None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process forks a process of its own."""
        return LimitedRenderer, (self._make,)

    def __call__(self, items: Sequence[Any]) -> list[str | Exception]:
        """The text of each item, or what rendering it raised; with a `TooMuch` among them, not all are there."""
        if sys.platform != "linux":
            return [_attempt(lambda item: self._make()(item), item) for item in items]
        try:
            return self._rendered(items)
        except (EOFError, ConnectionError):
            # It ended before it took them: by a signal of someone, or with the thread that had forked it.
            self.close()
        try:
            return self._rendered(items)
        except (EOFError, ConnectionError):
            self.close()
            return [_ended()]

    def _rendered(self, items: Sequence[Any]) -> list[str | Exception]:
        """As `__call__`.

        Raises:
            EOFError, ConnectionError: the process has ended and took none of the items.
        """
        if self._connection is None:
            self._start()
        assert self._connection is not None
        results: list[str | Exception] = []
        self._at.value = _NOT_TAKEN
        try:
            self._connection.send(list(items))
            while len(results) < len(items) and not any(isinstance(result, TooMuch) for result in results):
                self._await(self._connection)
                results += self._connection.recv()
        except (TooMuch, EOFError, ConnectionError) as error:
            if self._at.value == _NOT_TAKEN and not isinstance(error, TooMuch):
                raise
            results += [""] * (self._at.value - len(results))
            results.append(error if isinstance(error, TooMuch) else _ended())
        if any(isinstance(result, TooMuch) for result in results):
            self.close()
        return results

    def _await(self, connection: Connection) -> None:
        """Return when there is something to receive.

        Raises:
            TooMuch: one item takes longer than SECONDS.
        """
        item, since = self._at.value, time.monotonic()
        while not connection.poll(SECONDS / 10):
            if self._at.value != item:
                item, since = self._at.value, time.monotonic()
            elif time.monotonic() - since > SECONDS:
                raise TooMuch(f"it takes longer than {SECONDS:g} s")

    def close(self) -> None:
        """End the process; the next call forks another."""
        self._end()
        self._connection = None

    def _start(self) -> None:
        self._connection, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(self._make, theirs, self._at, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        self._end = weakref.finalize(self, _end, process, self._connection, os.getpid())


def limited(render: Callable[[], str]) -> str:
    """What `render` returns, within the limits.

    Raises:
        TooMuch: it is over them.
        Exception: what it raises, as a ValueError.
    """
    renderer = LimitedRenderer(lambda: lambda _: render())
    try:
        (result,) = renderer([None])
    finally:
        renderer.close()
    if isinstance(result, Exception):
        raise result
    return result


def _ended() -> TooMuch:
    return TooMuch("the process that renders it ended, most often for memory")


def _attempt(render: Callable[[Any], str], item: Any) -> str | Exception:
    try:
        return render(item)
    except MemoryError:
        return TooMuch(f"it takes more than {BYTES / 2**30:g} GiB of memory")
    except Exception as error:  # a template may raise on purpose, or on what it did not expect
        return ValueError((str(error).splitlines() or [type(error).__name__])[0])


def _serve(make: Callable[[], Callable[[Any], str]], connection: Connection, at: Any, parent: int) -> None:
    """In the forked process: render what comes, send several texts at once, and end with the parent."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of a terminal; the parent ends this process
    end_with_parent()
    if os.getppid() != parent:
        return
    _limit_memory()
    made: list[Callable[[Any], str]] = []

    def render(item: Any) -> str:
        if not made:
            made.append(make())
        return made[0](item)

    while True:
        try:
            items = connection.recv()
        except EOFError:
            return
        done: list[str | Exception] = []
        sent = time.monotonic()
        for at.value, item in enumerate(items):
            done.append(_attempt(render, item))
            if time.monotonic() - sent > 1.0:
                connection.send(done)
                done, sent = [], time.monotonic()
        if done:
            connection.send(done)


def _limit_memory() -> None:
    status = Path("/proc/self/status").read_text()
    has = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:")), 0)
    resource.setrlimit(resource.RLIMIT_DATA, (has + BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _end(process: Any, connection: Connection, owner: int) -> None:
    if os.getpid() != owner:  # a child of the owner, which was forked for something else, exits
        return
    connection.close()
    process.kill()
    process.join(5.0)

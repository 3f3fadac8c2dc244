"""A thread that makes one call after the other."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

Outcome = tuple[Any, BaseException | None]


class CallThread:
    """A daemon thread with a queue of calls: a call that hangs keeps neither others nor the interpreter waiting."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Outcome]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="environment", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], Any]) -> "Future[Outcome]":
        """What `function` returns, or what it raised; a future cannot hold every exception as one."""
        future: Future[Outcome] = Future()
        self._calls.put((function, future))
        return future

    def end(self) -> None:
        """End after the calls that were submitted."""
        self._calls.put(None)

    def wait_until_ended(self, seconds: float) -> None:
        """Wait for the end of a thread that was told to end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            if future.set_running_or_notify_cancel():
                future.set_result(_outcome(function))
            del call, function, future  # what a call returned is not kept until the next one


def _outcome(function: Callable[[], Any]) -> Outcome:
    try:
        return function(), None
    except BaseException as error:  # SystemExit, too: it would end this thread alone, without an answer
        return None, error

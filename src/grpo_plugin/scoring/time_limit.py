"""A time limit for work in this process, where the work cannot be killed but can be interrupted."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A function that suppresses the first interruption gets another one this many seconds later.
_AGAIN = 0.5


class Interrupted(BaseException):
    """The time limit passed. Not an Exception, so that `except Exception` in a reward does not catch it."""


def can_interrupt() -> bool:
    """Whether this is the main thread, the only one that Python delivers signals to."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Raise `Interrupted` within the block when `seconds` have passed; in other threads, do nothing.

    Python code, regular expressions and arithmetic of big integers are interrupted. An alarm that was set before
    is set again afterwards, with what is left of its time.
    """
    if not can_interrupt():
        yield
        return
    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, _interrupt)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (time.monotonic() - began), 1e-3), interval)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted

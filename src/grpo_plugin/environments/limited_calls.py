"""Calls of user code that end in time: coroutines are cancelled, threads are given up."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class CallFailed(Exception):
    """User code did not return. `kind` is "exception" or "timeout"; the message is told to the model.

    Attributes:
        described: the failure with the class of the exception, for a person.
        still_running: whether a thread that was given up may go on with what it was called with.
    """

    def __init__(self, kind: str, message: str, *, described: str = "", still_running: bool = False) -> None:
        super().__init__(message)
        self.kind, self.still_running = kind, still_running
        self.described = described or message


async def in_thread(function: Callable[[], Any], seconds: float) -> Any:
    """What `function` returns, called in a thread of its own.

    A pool of threads would be used up by calls that hang, and its threads keep the interpreter from ending; these are
    daemons.

    Raises:
        CallFailed: it raised, or did not return in time; then the thread is left to itself.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not answered.done():
            answered.set_result((result, error))

    def run() -> None:
        result, raised = None, None
        try:
            result = function()
        except BaseException as error:  # SystemExit, too: it would end this thread alone, without an answer
            raised = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=run, name="environment", daemon=True).start()
    done, _ = await asyncio.wait({answered}, timeout=seconds)
    if not done:
        raise CallFailed("timeout", late(seconds), still_running=True)
    result, raised = answered.result()
    if raised is not None:
        raise failed(raised) from raised
    return result


async def in_loop(function: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """What the coroutine that `function` makes returns, in this loop; CallFailed as in `in_thread`."""
    task = asyncio.ensure_future(_guarded(function))
    try:
        # Not wait_for: it would wait for a coroutine that goes on after its cancellation.
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # nothing where it is done
    if not done:
        raise CallFailed("timeout", late(seconds))
    return task.result()


async def _guarded(function: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await function()
    except Exception as error:
        raise failed(error) from error


def failed(error: BaseException) -> CallFailed:
    """The failure of a call that raised."""
    return CallFailed("exception", words(error), described=f"{type(error).__name__}: {error}")


def late(seconds: float) -> str:
    return f"The call took longer than {seconds:g} s and was ended."


def words(error: BaseException) -> str:
    """The text of an exception, as TRL tells it to the model."""
    return str(error) or type(error).__name__

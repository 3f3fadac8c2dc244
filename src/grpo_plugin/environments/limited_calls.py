"""Waiting for calls of user code no longer than their time: coroutines are cancelled, threads are given up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpo_plugin.environments.call_thread import CallThread


class CallFailed(Exception):
    """User code did not return. `kind` is "exception" or "timeout"; the message is told to the model.

    Attributes:
        described: the failure with the class of the exception, for a person.
    """

    def __init__(self, kind: str, message: str, *, described: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.described = described or message


async def in_thread(thread: CallThread, function: Callable[[], Any], seconds: float) -> Any:
    """What `function` returns, called in `thread`.

    Raises:
        CallFailed: it raised, or did not return in time; then the thread may be busy with it still.
    """
    answered = asyncio.wrap_future(thread.submit(function))
    done, _ = await asyncio.wait({answered}, timeout=seconds)
    if not done:
        raise CallFailed("timeout", timeout_text(seconds))
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
        raise CallFailed("timeout", timeout_text(seconds))
    if task.cancelled():  # by itself: had we been cancelled, the wait would have raised
        raise CallFailed("exception", "The call was cancelled.")
    return task.result()


async def _guarded(function: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await function()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit, too: it would end the loop, and with it all other calls
        raise failed(error) from error


def failed(error: BaseException) -> CallFailed:
    """The failure of a call that raised."""
    if isinstance(error, CallFailed):
        return error
    return CallFailed("exception", error_text(error), described=f"{type(error).__name__}: {error_text(error)}")


def timeout_text(seconds: float) -> str:
    return f"The call took longer than {seconds:g} s and was ended."


def error_text(error: BaseException) -> str:
    """The text of an exception, as TRL tells it to the model."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # its class has a __str__ that raises
        return type(error).__name__

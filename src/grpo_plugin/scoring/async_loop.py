"""One event loop, in a thread of its own, for every async reward function of this process.

One loop for the whole run, because clients (HTTP sessions, rate limiters) belong to the loop that made them.
"""

import asyncio
import threading
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def wait_for(awaited: Awaitable[Any] | Sequence[Awaitable[Any]], timeout: float | None) -> Any:
    """Run one awaitable, or several side by side, to the end, from any thread but the loop's own.

    Raises:
        TimeoutError: `timeout` seconds passed; what was awaited is cancelled.
    """
    return _in_loop(_within(awaited, timeout))


def wait_for_each(awaited: Sequence[Any], timeout: float) -> list[Any]:
    """Run several side by side, each with a time limit of its own; an exception stands in the place of a result."""
    return _in_loop(_each(awaited, timeout))


def _in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, _running_loop()).result()


async def _within(awaited: Awaitable[Any] | Sequence[Awaitable[Any]], timeout: float | None) -> Any:
    async with asyncio.timeout(timeout):
        if isinstance(awaited, Sequence):
            return await asyncio.gather(*awaited)
        return await awaited


async def _each(awaited: Sequence[Any], timeout: float) -> list[Any]:
    return await asyncio.gather(*(_within(one, timeout) for one in awaited), return_exceptions=True)


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(_loop,), name="async rewards", daemon=True).start()
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop to the end of the process.

    A task that raises SystemExit or KeyboardInterrupt has it as its result, and asyncio then raises it out of the loop,
    too; here it goes on, as everything else that runs in it waits for it.
    """
    while not loop.is_closed():
        with suppress(SystemExit, KeyboardInterrupt):
            loop.run_forever()

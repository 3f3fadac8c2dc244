"""Where blocking calls of user code run: in threads of this process, or in worker processes that can be killed."""

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pebble import ProcessExpired

from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.environments import isolated_calls
from grpo_plugin.environments.call_thread import CallThread
from grpo_plugin.environments.instances import Instance
from grpo_plugin.environments.isolated_calls import Failure, Job, perform
from grpo_plugin.environments.limited_calls import CallFailed, error_text, failed, in_thread, timeout_text
from grpo_plugin.environments.shared_directory import SharedDirectory
from grpo_plugin.scoring.processes import ENDED_WITH_ZERO, MarkedPool, start_pool

_GIB = 2**30
# A worker that dies before pebble knew which call it had breaks the pool, and with it the calls of all others.
_BROKEN_POOLS = 3


class Isolation(Protocol):
    """How blocking functions, and methods of instances, are called."""

    async def call(self, instance: Instance | None, job: Job, seconds: float) -> Any:
        """What the call returned; `instance` is as the call left it.

        Raises:
            CallFailed: it raised, or did not return within `seconds`.
        """

    def close(self) -> None:
        """End what runs still, where that can be ended."""


class Threads:
    """In threads of this process: one that does not return is given up, and may go on.

    An instance has a thread of its own, a function of the recipe one for each call.
    """

    def __init__(self) -> None:
        self._directory = SharedDirectory()

    async def call(self, instance: Instance | None, job: Job, seconds: float) -> Any:
        if instance is None or job.function is not None:
            return await _in_thread_of(None, partial(self._perform, None, job), seconds)
        return await _in_thread_of(instance, partial(self._perform, instance.value, job), seconds)

    def _perform(self, value: Any, job: Job) -> Any:
        with self._directory.restored():
            return perform(value, job)

    def close(self) -> None:
        """Threads cannot be ended; they end with the process."""


@contextmanager
def lost_unless_over(instance: Instance | None) -> Iterator[None]:
    """A block that waits for a call of the instance: if the waiting ends before the call, the instance is given up."""
    try:
        yield
    except (CallFailed, asyncio.CancelledError) as error:
        if instance is not None and not (isinstance(error, CallFailed) and error.kind == "exception"):
            instance.give_up()
        raise


async def _in_thread_of(instance: Instance | None, function: Callable[[], Any], seconds: float) -> Any:
    """What `function` returns in the thread of the instance, or in one of its own; CallFailed as in `in_thread`."""
    if instance is not None:
        with lost_unless_over(instance):
            return await in_thread(instance.thread, function, seconds)
    thread = CallThread()
    try:
        return await in_thread(thread, function, seconds)
    finally:
        thread.end()


def _packed(content: Any) -> bytes:
    try:
        return pickle.dumps(content)
    except BaseException as error:
        reason = f"This state cannot be sent to a worker process ({error_text(error)})."
        raise CallFailed("exception", reason) from error


def _unpacked(content: bytes) -> Any:
    try:
        return pickle.loads(content)
    except BaseException as error:
        reason = f"The state or the result cannot be received from its worker process ({error_text(error)})."
        raise CallFailed("exception", reason) from error


class Processes:
    """In worker processes, which are killed when the time is over; they start with the first call.

    A call gets a copy of the instance, and the copy comes back with what the call did to it. A call that is killed, or
    that ends its process, leaves the instance as it was.

    Args:
        specs: what the recipe names, which the workers load.
    """

    def __init__(self, config: EnvironmentsConfig, specs: Sequence[str], base_dir: Path) -> None:
        self._config, self._specs, self._base_dir = config, specs, base_dir
        self._lock = threading.Lock()
        self._pool: MarkedPool | None = None
        self._closed = False

    async def call(self, instance: Instance | None, job: Job, seconds: float) -> Any:
        value = None if instance is None else instance.value
        sent = await _in_thread_of(instance, partial(_packed, (value, job.for_worker())), seconds)
        returned = await self._run(sent, seconds)
        if isinstance(returned, Failure):
            raise CallFailed("exception", returned.message, described=returned.described)
        value, result = await _in_thread_of(instance, partial(_unpacked, returned), seconds)
        if instance is not None:
            instance.value = value
        return result

    def close(self) -> None:
        """Kill the workers and what they started."""
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.end()
            self._pool = None

    async def _run(self, sent: bytes, seconds: float) -> bytes | Failure:
        for _ in range(_BROKEN_POOLS):
            future = self._running_pool().schedule(isolated_calls.run, args=(sent, seconds), timeout=seconds)
            try:
                returned: bytes | Failure = await asyncio.wrap_future(future)
                return returned
            except BrokenProcessPool:
                continue  # another call's doing
            except TimeoutError as error:
                raise CallFailed("timeout", timeout_text(seconds)) from error
            except ProcessExpired as error:
                code = 0 if error.exitcode == ENDED_WITH_ZERO else error.exitcode
                raise CallFailed("exception", f"The call ended its process (exit code {code}).") from error
            except CancelledError as error:  # of the pool's future: the run is over
                raise CallFailed("exception", "The call was cancelled.") from error
            except Exception as error:  # raised in the worker, or on the way to it
                raise failed(error) from error
        raise CallFailed("exception", "The process of the call ended.")

    def _running_pool(self) -> MarkedPool:
        """The pool, started where it is not; one that broke down is replaced."""
        with self._lock:
            if self._closed:
                raise CallFailed("exception", "The run is over.")
            if self._pool is not None and not self._pool.active:
                self._pool.end()
                self._pool = None
            if self._pool is None:
                memory = int(self._config.memory_gb * _GIB)
                self._pool = start_pool(
                    self._config.workers, memory, isolated_calls.prepare, self._specs, self._base_dir
                )
            return self._pool


def check_state(where: str, instance: Any) -> str | None:
    """Why an instance cannot go to a worker process and back; None where it can."""
    try:
        pickle.loads(pickle.dumps(instance))
    except Exception as error:
        return (
            f"{where}: a {type(instance).__name__} cannot be copied into a worker process ({error}); make what it "
            "holds in reset(), leave it out in __getstate__, or set environments.isolation: threads."
        )
    return None

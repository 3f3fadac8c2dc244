"""Instances of environments: made once, reset often, never in two episodes at once."""

import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from grpo_plugin.environments.call_thread import CallThread, Outcome
from grpo_plugin.environments.limited_calls import CallFailed
from grpo_plugin.environments.tools import signature_mismatch
from grpo_plugin.scoring.async_loop import wait_for

log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0


class Instance:
    """An environment's instance and the thread that makes all calls of it.

    One thread from its making to its end, because much belongs to the thread that made it: connections of SQLite,
    browsers.

    Attributes:
        value: what the recipe's class made; with worker processes, the copy that came back last.
        reward: what its get_reward() returned or raised in this episode; None before.
        is_lost: a call was given up and may still be using it, so that no other episode gets it.
    """

    _holders: dict[int, "Instance"] = {}  # noqa: RUF012 — of every value in use, by its id

    def __init__(self, value: Any, thread: CallThread) -> None:
        self._value, self.thread, self.is_lost = value, thread, False
        self.reward: Outcome | None = None
        self._holders[id(value)] = self

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._holders.pop(id(self._value), None)
        self._value, self.reward = value, None
        self._holders[id(value)] = self

    @classmethod
    def holding(cls, value: Any) -> "Instance | None":
        """The instance whose value this is."""
        found = cls._holders.get(id(value))
        return found if found is not None and found.value is value else None

    def give_up(self) -> None:
        """A call did not return: what follows is called in another thread."""
        self.is_lost = True
        self.thread.end()
        self.thread = CallThread()

    def close(self) -> None:
        """Call its `close()` in its thread, without waiting for it."""
        self._holders.pop(id(self._value), None)
        self.thread.submit(lambda: _close(self._value))
        self.thread.end()


class InstancePool:
    """The free instances of one environment; safe to use from any thread."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self._free: deque[Instance] = deque()
        self._made: list[Instance] = []
        self._closed = False
        self._lock = threading.Lock()

    def take(self) -> Instance | None:
        """A free instance; None where there is none, and one is to be made."""
        with self._lock:
            return self._free.popleft() if self._free else None

    def add(self, value: Any, thread: CallThread) -> Instance:
        """The instance of a value that was made in `thread`; whoever adds it has taken it.

        Raises:
            CallFailed: the run is over; the instance is closed.
        """
        instance = Instance(value, thread)
        with self._lock:
            if not self._closed:
                self._made.append(instance)
                return instance
        instance.close()
        raise CallFailed("exception", "the run is over")

    def give_back(self, instance: Instance) -> None:
        """Let another episode have the instance; one that is lost is closed."""
        if instance.is_lost:
            self.drop(instance)
            return
        instance.reward = None
        with self._lock:
            if not self._closed:
                self._free.append(instance)

    def drop(self, instance: Instance) -> None:
        """Close an instance that no episode is to have again."""
        with self._lock:
            if instance not in self._made:
                return  # closed already
            self._made.remove(instance)
        instance.close()

    def close(self) -> None:
        """Close every instance, all at once, and wait for them a little; those of episodes too, which are over."""
        with self._lock:
            self._closed = True
            instances, self._made = self._made, []
            self._free.clear()
        for instance in instances:
            instance.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for instance in instances:
            instance.thread.wait_until_ended(max(deadline - time.monotonic(), 0))


def close_unwanted(values: list[Any], thread: CallThread) -> None:
    """Close, in the thread that may still be making one, instances that nobody waits for any more, and end it."""

    def close() -> None:
        for value in values:
            _close(value)

    thread.submit(close)
    thread.end()


def _close(value: Any) -> None:
    function = getattr(value, "close", None)
    if not callable(function) or signature_mismatch(inspect.signature(function), {}):
        return
    try:
        closing = function()
        if hasattr(closing, "__await__"):
            wait_for(closing, CLOSE_SECONDS)
    except BaseException as error:  # SystemExit, too
        log.warning("close() of %s raised %s: %s", type(value).__name__, type(error).__name__, error)

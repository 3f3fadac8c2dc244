"""Instances of environments: made once, reset often, never in two episodes at once."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from grpo_plugin.scoring.async_loop import wait_for

log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0


class InstancePool:
    """The free instances of one environment; safe to use from any thread.

    Args:
        probe: the first instance, which was made to check the environment.
    """

    def __init__(self, make: Callable[[], Any], probe: Any) -> None:
        self.make = make
        self._free = deque([probe])
        self._lock = threading.Lock()

    def take(self) -> Any:
        """A free instance, else a new one."""
        with self._lock:
            if self._free:
                return self._free.popleft()
        return self.make()

    def give_back(self, instance: Any) -> None:
        """Let another episode have the instance."""
        with self._lock:
            self._free.append(instance)

    def close(self) -> None:
        """Close every free instance."""
        with self._lock:
            instances, self._free = list(self._free), deque()
        for instance in instances:
            close(instance)


def close(instance: Any) -> None:
    """Call the instance's `close()`, if it has one that needs no argument; a failure of it is only logged."""
    function = getattr(instance, "close", None)
    if not callable(function):
        return
    try:
        closing = function()
        if hasattr(closing, "__await__"):
            wait_for(closing, CLOSE_SECONDS)
    except Exception as error:
        log.warning("close() of %s raised %s: %s", type(instance).__name__, type(error).__name__, error)

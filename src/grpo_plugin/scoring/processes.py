"""Worker processes that inherit nothing: spawned, without the caller's `__main__`, its GPUs or its threads."""

import atexit
import os
import resource
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.popen_spawn_posix import Popen
from typing import Any

from pebble import ProcessPool

from grpo_plugin.scoring.leftovers import end_marked, mark_this_process, new_mark
from grpo_plugin.scoring.side_effects import bound_output

# The exit code shown for a worker that ended with 0: pebble takes 0 for a running process, and would wait for its
# answer.
ENDED_WITH_ZERO = 256
_JOIN_SECONDS = 5

_launching = threading.Lock()


class _BareProcess(SpawnProcess):
    """A spawned process that does not run the caller's main module again.

    Multiprocessing imports `__main__` in every child; under `axolotl train` that is the whole trainer, and in a
    script without a `__main__` guard it is an endless loop. No reward needs it.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Popen:
        with _without_main():
            return Popen(process_obj)

    @property
    def exitcode(self) -> int | None:
        code = super().exitcode
        return ENDED_WITH_ZERO if code == 0 else code


class _BareContext(SpawnContext):
    Process = _BareProcess


@contextmanager
def _without_main() -> Iterator[None]:
    with _launching:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class MarkedPool(ProcessPool):
    """A pool that ends its processes together with everything they started."""

    def __init__(
        self, workers: int, memory_bytes: int | None, initializer: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        mark = new_mark()
        self._end_leftovers = partial(end_marked, mark)
        atexit.register(self._end_leftovers)
        given = (mark, memory_bytes, initializer, arguments)
        super().__init__(max_workers=workers, initializer=_begin, initargs=given, context=_BareContext())

    def end(self) -> None:
        """Kill all workers, whatever they are doing, and what they left running; calling it again does nothing."""
        self.stop()
        self.join(timeout=_JOIN_SECONDS)
        self._end_leftovers()
        atexit.unregister(self._end_leftovers)


def start_pool(workers: int, memory_bytes: int | None, initializer: Callable[..., None], *arguments: Any) -> MarkedPool:
    """A pool of `workers` processes, each limited in memory and without GPUs, that run `initializer` first."""
    return MarkedPool(workers, memory_bytes, initializer, arguments)


def _begin(mark: str, memory_bytes: int | None, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    mark_this_process(mark)
    bound_output()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    initializer(*arguments)


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """Let the kernel end this process if the block takes longer, even if its parent has ended and Python hangs."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

"""Worker processes that start from nothing: spawned, without the caller's `__main__`, its GPUs or its threads."""

import os
import resource
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.popen_spawn_posix import Popen
from typing import Any

from pebble import ProcessPool

_launching = threading.Lock()


class _BareProcess(SpawnProcess):
    """A spawned process that does not run the caller's main module again.

    Multiprocessing imports `__main__` in every child; under `axolotl train` that is the whole trainer, and in a
    script without a `__main__` guard it is an endless loop. Nothing of ours lives there.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Popen:
        with _without_main():
            return Popen(process_obj)


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


def start_pool(
    workers: int, memory_bytes: int | None, initializer: Callable[..., None], *arguments: Any
) -> ProcessPool:
    """A pool of `workers` processes, each limited in memory and blind to GPUs, that run `initializer` first."""
    given = (memory_bytes, initializer, arguments)
    return ProcessPool(max_workers=workers, initializer=_begin, initargs=given, context=_BareContext())


def _begin(memory_bytes: int | None, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    initializer(*arguments)


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """Let the kernel end this process if the block takes longer, even when its parent is gone and Python is stuck."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

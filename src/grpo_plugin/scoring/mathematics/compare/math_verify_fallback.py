"""math-verify, for what our own parser cannot decide: in a process of its own, with a budget of processor time.

The process is a fresh interpreter that speaks JSON lines over its pipes, so that a daemonic worker may start one too.
It is started at the first question or by `warm_up`, and a question waits until it is ready: start-up costs no budget.
A question that has used `SECONDS` of processor time counts as not equivalent and is remembered as such; where Python
cannot end it, the kernel ends the process, and the next question gets a new one. A busy machine delays an answer and
does not change it.
"""

import atexit
import json
import multiprocessing
import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from grpo_plugin.scoring.mathematics.compare import math_verify_child

SECONDS = 1.5
_MEMORY_BYTES = 4 * 2**30
_MAX_LENGTH = 300
# A process that neither answers nor uses up its processor time for so long is stuck in the kernel, and is replaced.
_STUCK_SECONDS = 300.0


def verify(golds: tuple[str, ...], answer: str) -> bool:
    """Whether math-verify finds `answer` equivalent to one of `golds`, all of them within one budget."""
    golds = tuple(gold for gold in golds if len(gold) <= _MAX_LENGTH)
    return bool(golds) and len(answer) <= _MAX_LENGTH and _asked("verify", golds, answer)


def is_readable(gold: str) -> bool:
    """Whether math-verify can read a gold answer within the budget."""
    return len(gold) <= _MAX_LENGTH and _asked("read", (gold,), "")


def warm_up() -> None:
    """Start the process now, because it takes a second or two, which overlap with other work.

    A worker process starts its own at its first question, if there is one.
    """
    if multiprocessing.parent_process() is None:
        with _lock:
            _current()


@lru_cache(maxsize=50_000)
def _asked(question: str, golds: tuple[str, ...], answer: str) -> bool:
    with _lock:
        process = _current()
        verdict = process.ask(question, golds, answer)
        if verdict is None:
            process.stop()
    return bool(verdict)


class _Process:
    """One running child, owned by the process that started it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        command = [sys.executable, "-P", str(Path(math_verify_child.__file__)), str(SECONDS), str(_MEMORY_BYTES)]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.ready = False

    @property
    def usable(self) -> bool:
        return self.owner == os.getpid() and self.child.poll() is None

    def ask(self, question: str, golds: Sequence[str], answer: str) -> bool | None:
        """The verdict; None where the process ended (or had to be given up) before it gave one."""
        if not self.ready and self._line() is None:
            return None
        self.ready = True
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(json.dumps([question, list(golds), answer]).encode() + b"\n")
            self.child.stdin.flush()
        except OSError:
            return None
        line = self._line()
        return None if line is None else bool(json.loads(line))

    def _line(self) -> bytes | None:
        output = self.child.stdout
        assert output is not None
        readable, _, _ = select.select([output], [], [], _STUCK_SECONDS)
        return (output.readline() or None) if readable else None

    def stop(self) -> None:
        if self.owner != os.getpid():
            return
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()


_lock = threading.Lock()
_process: _Process | None = None


def _current() -> _Process:
    """The process of this one; after a fork, or when it has ended, a new one. Called with the lock held."""
    global _process
    if _process is None or not _process.usable:
        if _process is not None:
            _process.stop()
        _process = _Process()
    return _process


def _stop_at_exit() -> None:
    if _process is not None:
        _process.stop()


def _after_fork() -> None:
    """A thread of the parent may have held the lock."""
    global _lock, _process
    _lock, _process = threading.Lock(), None


atexit.register(_stop_at_exit)
os.register_at_fork(after_in_child=_after_fork)

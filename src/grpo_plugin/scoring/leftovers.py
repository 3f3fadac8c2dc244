"""Processes that reward functions started and left running: found by a mark, and ended with the run.

A worker's mark is in its environment, which programs it starts inherit, and in its name, which forked children
inherit; neither a new session nor the death of the worker removes it. A program started with an environment of its own
escapes.
"""

import contextlib
import ctypes
import os
import secrets
import signal
from multiprocessing.util import Finalize
from pathlib import Path

VARIABLE = "GRPO_REWARD_WORKER"
_PR_SET_NAME = 15
_PF_EXITING = 0x4


def new_mark() -> str:
    """A name of 13 characters (a process name holds 15) that nothing else has."""
    return f"grpo-{secrets.token_hex(4)}"


def mark_this_process(mark: str) -> None:
    """Mark this process and what it will start; when its parent is gone and it ends in order, so do those."""
    os.environ[VARIABLE] = ":".join(filter(None, (os.environ.get(VARIABLE), mark)))  # a worker may have workers
    with contextlib.suppress(AttributeError):  # prctl is Linux's
        ctypes.CDLL(None).prctl(_PR_SET_NAME, mark.encode(), 0, 0, 0)
    Finalize(None, _end_without_parent, args=(mark, os.getppid()), exitpriority=0)


def end_marked(mark: str) -> None:
    """Kill every other process with the mark; does nothing where there is no /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) != os.getpid() and _bears(folder, mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(folder.name), signal.SIGKILL)


def _end_without_parent(mark: str, parent: int) -> None:
    if os.getppid() != parent or _is_exiting(parent):
        end_marked(mark)


def _is_exiting(pid: int) -> bool:
    """Whether a process is exiting: its pipes are closed before its children get another parent."""
    try:
        flags = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[6]
    except OSError:
        return True
    return bool(int(flags) & _PF_EXITING)


def _bears(folder: Path, mark: str) -> bool:
    try:
        if (folder / "comm").read_text().strip() == mark:
            return True
        variables = (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return any(mark.encode() in variable for variable in variables if variable.startswith(VARIABLE.encode()))

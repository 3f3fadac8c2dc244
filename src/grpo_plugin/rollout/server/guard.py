"""Ends the vLLM server and all its children when its owner ends: `python -I guard.py --owner PID … -- COMMAND`.

A process that is killed with SIGKILL cannot clean up, and vLLM's EngineCore and workers outlive their API server then.
So the server runs below this small process, which watches the owner, adopts whatever the server leaves behind
(PR_SET_CHILD_SUBREAPER), and ends it: gracefully first, by force after. It needs the standard library alone.
"""

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

POLL = 0.2
NO_SIGNAL = 0  # with signal 0 os.kill does nothing
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# Blocked and fetched with sigtimedwait: no handler, no race. Ctrl-C and hang-up of a terminal are left to the owner.
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
PROC = Path("/proc")
SHARED_MEMORY = "/dev/shm/"


def start_time(pid: int) -> str | None:
    """When the process started, in ticks since boot, which with its id identifies it; None once it has ended."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def session_members(session: int) -> list[int]:
    """Processes of a session, whatever their parent and group."""
    return [pid for pid in _pids() if (fields := _stat(pid)) and fields[3] == str(session)]


def descendants(root: int) -> list[int]:
    """Children of `root`, their children and so on; processes that have ended but were not awaited are left out."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        if (fields := _stat(pid)) and fields[0] not in ("Z", "X"):
            children.setdefault(int(fields[1]), []).append(pid)
    found, front = [], [root]
    while front:
        below = children.get(front.pop(), [])
        found += below
        front += below
    return found


def children(root: int) -> list[int]:
    """Its children that have not ended."""
    return [pid for pid in _pids() if (fields := _stat(pid)) and fields[0] not in ("Z", "X") and int(fields[1]) == root]


def stopped(root: int) -> list[int]:
    """Processes below `root` that a signal has stopped (SIGSTOP, SIGTSTP)."""
    return [pid for pid in descendants(root) if (fields := _stat(pid)) and fields[0] == "T"]


def mapped_shared_memory(pids: Iterable[int]) -> set[str]:
    """Files directly in /dev/shm that any of the processes has mapped (Python's, torch's and NCCL's segments)."""
    paths: set[str] = set()
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "maps").read_text(errors="replace").splitlines()
        except OSError:
            continue
        paths |= {path for line in lines if (path := line[line.find("/") :]).startswith(SHARED_MEMORY)}
    return {path for path in paths if "/" not in path.removeprefix(SHARED_MEMORY) and not path.endswith(" (deleted)")}


def unlink_unmapped(paths: Iterable[str]) -> None:
    """Remove files in shared memory that no process has mapped any more."""
    left = {path for path in paths if Path(path).exists()}
    for path in left - mapped_shared_memory(_pids() if left else ()):
        Path(path).unlink(missing_ok=True)


def remove(folders: Iterable[Path | str], prefix: str = "") -> None:
    """Remove `folders`, and every folder whose path begins with `prefix`; what belongs to other users stays."""
    found = Path(prefix).parent.glob(f"{Path(prefix).name}*") if prefix else ()
    for folder in (*folders, *found):
        shutil.rmtree(folder, ignore_errors=True)


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that was just listed; one that has ended since is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: 0 state, 1 parent, 2 group, 3 session, 19 start time."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold spaces and parentheses itself.
    return text.rpartition(")")[2].split()


class Tree:
    """The server's main process and everything below this one."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_follow(os.getpid())
        )
        self.exit_code: int | None = None

    def running(self) -> bool:
        """Whether the main process runs; also reaps every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self.process.pid:
                self.exit_code = self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.exit_code is None

    def end(self) -> None:
        """End everything within 8 seconds: the main process by its own shutdown, then what is left."""
        shared = mapped_shared_memory(descendants(os.getpid()))
        # Python's resource trackers end last: once their clients are gone they unlink the clients' shared memory.
        for number, chosen, seconds in (
            (signal.SIGTERM, self._main, 3.0),
            (signal.SIGTERM, self._all, 1.0),
            (signal.SIGKILL, self._all_but_trackers, 1.0),
            (NO_SIGNAL, self._all, 2.0),
            (signal.SIGKILL, self._all, 1.0),
        ):
            self._signal(number, chosen, seconds)
        self.running()  # reap the last of them
        unlink_unmapped(shared)

    def _signal(self, number: int, chosen: Callable[[], list[int]], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for pid in chosen():
            kill(pid, number)
        while chosen() and time.monotonic() < deadline:
            signal.sigtimedwait(WATCHED, 0.05)
            self.running()
            if number == signal.SIGKILL:
                for pid in chosen():
                    kill(pid, number)

    def _main(self) -> list[int]:
        return [self.process.pid] if self.running() else []

    def _all(self) -> list[int]:
        self.running()
        return descendants(os.getpid())

    def _all_but_trackers(self) -> list[int]:
        return [pid for pid in self._all() if not is_tracker(pid)]


def is_tracker(pid: int) -> bool:
    """Whether it is a resource tracker of Python's, which unlinks what its clients leave once they are gone."""
    try:
        return b"multiprocessing.resource_tracker import main" in (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False


def is_guard(pid: int) -> bool:
    """Whether it is a process of this file."""
    try:
        return Path(__file__).name.encode() in (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2) for this process."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _follow(guard: int) -> Callable[[], None]:
    """Run in the server's process before vLLM starts: let it end when this process is killed."""
    loaded = ctypes.CDLL(None).prctl  # a library must not be loaded between fork and exec

    def prepare() -> None:
        loaded(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != guard:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare


def watch(tree: Tree, owner: int, owner_started: str) -> str:
    """Return why the server is to end."""
    while True:
        got = signal.sigtimedwait(WATCHED, POLL)
        if got is not None and got.si_signo == signal.SIGTERM:
            return "was asked to stop"
        if not tree.running():
            return f"the server ended with code {tree.exit_code}"
        if start_time(owner) != owner_started:
            return f"its owner, process {owner}, is gone"


def main() -> int:
    parser = argparse.ArgumentParser(prog="guard.py", description=__doc__)
    parser.add_argument("--owner", type=int, required=True, help="process with which the server ends")
    parser.add_argument("--owner-started", required=True, help="its start time, in ticks since boot")
    parser.add_argument("--remove", action="append", default=[], help="folder to remove at the end")
    parser.add_argument("--remove-prefix", default="", help="remove the folders whose paths begin so, too")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # of schedulers, for the run; the server inherits it
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        tree = Tree(options.command)
        why = watch(tree, options.owner, options.owner_started)
        with contextlib.suppress(OSError):  # the disk of the log is full
            print(f"[guard] {why}", flush=True)
        tree.end()
    finally:
        remove(options.remove, options.remove_prefix)
    code = tree.exit_code or 0
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())

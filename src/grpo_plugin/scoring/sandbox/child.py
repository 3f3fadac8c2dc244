"""The script that runs inside the sandbox: it shuts itself in, and runs the program, or judge and program.

It imports nothing of this package but its neighbours, which need the standard library alone: it is started by its path,
by an isolated interpreter. Its arguments are the descriptor of the task and, if there are any, that of the assertions.
"""

import json
import math
import os
import resource
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import judge
import namespaces
import subject

sys.path.pop(0)

_PROCESSES = 64  # and threads, of one program; not counted for root


def main() -> None:
    task = json.loads(_read(sys.argv[1]))
    if task["namespaces"]:
        namespaces.enter(task["prefixes"])
    _limit(*task["limits"])
    if task["namespaces"] and namespaces.counts_processes():
        resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))
    if len(sys.argv) < 3:
        if task["namespaces"]:
            namespaces.give_up_privileges()
        subject.forbid(str(Path.cwd()))
        subject.run(task["program"], {"__name__": "__main__"})
        return
    ours, theirs = socket.socketpair()
    if _fork_apart(apart=task["namespaces"]) == 0:
        ours.close()
        os.close(int(sys.argv[2]))  # not read so far: the program's process must never have had it in its memory
        subject.serve(task["program"], theirs.detach())
    theirs.close()
    judge.report(json.loads(_read(sys.argv[2])), task["program"], ours.detach())


def _read(descriptor: str) -> str:
    with open(int(descriptor), encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def _fork_apart(*, apart: bool) -> int:
    """Fork; the child sees no process but its own, so that it can neither trace nor signal this one."""
    if apart:
        namespaces.own_processes()
    child = os.fork()
    if child == 0:
        namespaces.end_with_parent()
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
    if apart:
        namespaces.give_up_privileges()
    return child


def _limit(seconds: float, memory: int, output: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, math.ceil(seconds)),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()

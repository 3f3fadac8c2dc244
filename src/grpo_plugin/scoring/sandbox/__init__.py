"""Runs a model's program in child processes that can neither hang, nor fill the machine, nor reach what is outside.

Where the kernel grants user namespaces (`isolation()` says so), the program has a file system of its own with nothing
in it but Python and an empty folder, no network, no other process in sight, and all that it starts ends with it.
Elsewhere limits on time, memory, output and files hold, and a hook in the interpreter keeps the program from sockets,
other programs and writing outside its folder: that stops accidents and simple cheats, not an expert.

What a program passed is decided outside its process. Assertions run in a judge (`judge.py`), which calls the program's
functions over a socket and gets plain data back, so that nothing the program changes or defines has a part in a
comparison, and it never sees what is expected.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring.leftovers import VARIABLE

_MAX_OUTPUT = 2**20
_GRACE = 1.0
_CHILD = Path(__file__).with_name("child.py")

Isolation = Literal["namespaces", "limits"]


@dataclass(frozen=True)
class Limits:
    """Seconds (of the clock and of the processor), bytes of memory of a process, bytes of output and of each file."""

    seconds: float
    memory: int
    output: int = _MAX_OUTPUT


def run_program(program: str, given: str, limits: Limits) -> str | None:
    """What a program prints when it reads `given`; None where it fails, or passes a limit."""
    code, printed = _run({"program": program}, given, limits, isolation())
    return printed if code == 0 else None


def run_assertions(program: str, assertions: Sequence[str], limits: Limits) -> list[bool]:
    """Which assertions hold after the program has run; False for those that a limit left no time for."""
    _, printed = _run({"program": program, "assertions": list(assertions)}, "", limits, isolation())
    passed = {int(line) for line in printed.splitlines() if line.isdigit()}
    return [place in passed for place in range(len(assertions))]


@cache
def isolation() -> Isolation:
    """How programs are kept apart on this machine, found by a trial."""
    _, printed = _run({"program": "print('apart')"}, "", Limits(10.0, 2**29), "namespaces")
    return "namespaces" if printed == "apart\n" else "limits"


def describe() -> str:
    """A sentence for the screen of a run."""
    if isolation() == "namespaces":
        return "programs run in namespaces of their own: no network, no files of this machine but Python's"
    return (
        "programs run under limits alone, as this machine grants no user namespaces: they can read your files "
        "(rewards.sandbox: required refuses that)"
    )


def require() -> None:
    """Raise RewardError where programs are not kept apart by the kernel."""
    if isolation() != "namespaces":
        raise RewardError(
            "rewards.sandbox: required, but this machine grants no user namespaces to this process; in a container "
            "allow unshare and mount (docker: --security-opt seccomp=unconfined), on a host set "
            "kernel.apparmor_restrict_unprivileged_userns=0 or user.max_user_namespaces, or use rewards.sandbox: auto."
        )


def command(descriptors: Sequence[int]) -> list[str]:
    """The child's interpreter, isolated from the environment, its script, and where it reads task and assertions."""
    return [sys.executable, "-I", "-B", str(_CHILD), *map(str, descriptors)]


def _run(task: dict[str, Any], given: str, limits: Limits, apart: Isolation) -> tuple[int | None, str]:
    """Start the child, wait within the limit, end all that it started; its exit code, None if late, and its output."""
    bounds = [limits.seconds, limits.memory, limits.output]
    assertions = task.pop("assertions", None)
    settings = {**task, "limits": bounds, "namespaces": apart == "namespaces", "prefixes": _prefixes()}
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(_folder())
        stdin, stdout = (opened.enter_context(_file(text)) for text in (given, ""))
        texts = [settings] if assertions is None else [settings, assertions]
        numbers = [opened.enter_context(_file(json.dumps(text))).fileno() for text in texts]
        child = subprocess.Popen(
            command(numbers),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environ(folder),
            pass_fds=numbers,
            start_new_session=True,
        )
        try:
            code = child.wait(limits.seconds + _GRACE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(child)
        stdout.seek(0)
        return code, stdout.read(limits.output).decode("utf-8", "replace")


def _prefixes() -> list[str]:
    """The folders that Python needs: the system's libraries, the interpreter's own, the environment's."""
    return list(dict.fromkeys(("/usr", "/lib", "/lib64", "/bin", sys.base_prefix, sys.prefix)))


def _environ(folder: str) -> dict[str, str]:
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"}
    # What escapes its process group is found by the mark of the worker that started it.
    return environ | {name: os.environ[name] for name in (VARIABLE,) if name in os.environ}


@contextlib.contextmanager
def _file(text: str) -> Iterator[IO[bytes]]:
    """A file without a name, to be read from its beginning."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """An empty folder, removed whatever a program made of it: thousands of nested folders are too deep for rmtree."""
    folder = tempfile.mkdtemp(prefix="grpo-program-")
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):
            subprocess.run(["rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill the child's process group, and with it the namespace whose first process is in it; reap the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()

"""Runs a model's program in a child process that can neither hang, nor fill the machine, nor reach the network.

The child is a fresh interpreter in an empty folder. Limits of the kernel hold its time, memory, output and core
files; a network namespace of its own, where the kernel grants one, and an audit hook keep it from sockets, from other
programs and from writing outside its folder. That stops accidents and simple reward hacks; it does not stop an expert:
run hostile code in a container.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grpo_plugin.scoring import sandbox_child

_MAX_OUTPUT = 2**20
_GRACE = 1.0


@dataclass(frozen=True)
class Limits:
    """Seconds (of the clock and of the processor), bytes of memory, bytes of output and of each file."""

    seconds: float
    memory: int
    output: int = _MAX_OUTPUT


def run_program(program: str, given: str, limits: Limits) -> str | None:
    """What a program prints when it reads `given`; None where it fails, or passes a limit."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), {"program": program}, given, limits)


def run_assertions(program: str, assertions: Sequence[str], limits: Limits) -> list[bool]:
    """Which assertions hold after the program has run; all False where it fails, or passes a limit.

    The verdicts come back with a token that the program cannot know, so that printing some is of no use to it.
    """
    token = secrets.token_hex(16)
    task: dict[str, object] = {"program": program, "assertions": list(assertions), "token": token}
    with tempfile.TemporaryDirectory() as folder:
        printed = _run(Path(folder), task, "", limits) or ""
    for line in reversed(printed.splitlines()):
        if line.startswith(token):
            passed = set(json.loads(line.removeprefix(token)))
            return [place in passed for place in range(len(assertions))]
    return [False] * len(assertions)


def command() -> list[str]:
    """The child's interpreter and script: isolated from the environment, without site packages of the user."""
    return [sys.executable, "-I", "-B", str(Path(sandbox_child.__file__))]


def _run(folder: Path, task: dict[str, object], given: str, limits: Limits) -> str | None:
    """Start the child, wait within the limit, end its whole process group; its standard output, or None."""
    (folder / "task.json").write_text(json.dumps({**task, "limits": [limits.seconds, limits.memory, limits.output]}))
    (folder / "input").write_text(given)
    with (folder / "input").open("rb") as stdin, (folder / "output").open("wb") as stdout:
        child = subprocess.Popen(
            command(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(folder), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            code = child.wait(limits.seconds + _GRACE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(child)
    if code != 0:
        return None
    with (folder / "output").open("rb") as printed:
        return printed.read(limits.output).decode("utf-8", "replace")


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill whatever is left of the child's process group, and reap the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()

"""The script that runs inside the sandbox: it reads its task, restricts itself, and runs the program.

It imports nothing of this package: it is started by its path, by an isolated interpreter.
"""

import ctypes
import json
import math
import os
import resource
import sys
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_FORBIDDEN = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill",
    "ctypes.dlsym", "pty.", "ftplib.", "urllib.", "http.", "smtplib.", "os.symlink", "os.link", "os.chmod", "os.chown",
    "shutil.",
)  # fmt: skip
_PATHS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    task = json.loads(Path("task.json").read_text())
    Path("task.json").unlink()
    _limit(*task["limits"])
    _leave_network()
    program, assertions = task["program"], task.get("assertions")
    token = task.get("token", "")
    _lock(str(Path.cwd()))
    space = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(program, "program.py", "exec"), space)  # runs the model's program
    if assertions is not None:
        passed = [place for place, assertion in enumerate(assertions) if _holds(assertion, space)]
        sys.stdout.write(f"\n{token}{json.dumps(passed)}\n")


def _holds(assertion: str, space: dict[str, object]) -> bool:
    try:
        exec(compile(assertion, "assertion.py", "exec"), space)
    except (Exception, SystemExit):
        return False
    return True


def _limit(seconds: float, memory: int, output: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, math.ceil(seconds)),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (most, most))


def _leave_network() -> None:
    """A network namespace without any interface; where the kernel refuses, only the audit hook blocks sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        libc.unshare(_NEW_USER | _NEW_NETWORK)


def _lock(folder: str) -> None:
    """Forbid sockets, other programs, and touching files outside `folder`; a hook cannot be taken away again."""

    def inside(path: object) -> bool:
        if isinstance(path, int):
            return True
        return (os.path.realpath(os.fsdecode(str(path))) + os.sep).startswith(folder + os.sep)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not allowed here")
        if event == "ctypes.dlopen" and arguments[0] is not None:
            raise PermissionError("loading libraries is not allowed here")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING and not inside(arguments[0]):
            raise PermissionError("writing outside the folder is not allowed here")
        if event in _PATHS and arguments[0] is not None and not inside(os.path.join(folder, str(arguments[0]))):  # noqa: PTH118
            raise PermissionError(f"{event} outside the folder is not allowed here")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()

"""A real sshd on this machine, for a key of the test's own, and an ssh command that reaches it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from getpass import getuser
from pathlib import Path

import pytest


def program(name: str) -> str:
    """The path of a program of Debian's openssh-server, openssh-client or rsync; skips, or fails with CI=true."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        reason = f"no {name} on this machine: apt-get install openssh-server rsync"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def ssh_server(folder: Path) -> Iterator[str]:
    """The ssh command for 127.0.0.1 while the server runs."""
    program("rsync")
    sshd, port = program("sshd"), _free_port()
    for name in ("host", "user"):
        subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates its privileges
    server = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("w"))
    try:
        _wait_for(port, server)
        known = f"-o UserKnownHostsFile={folder / 'known'} -o StrictHostKeyChecking=no -o LogLevel=ERROR"
        yield f"{program('ssh')} -F none -p {port} -l {getuser()} -i {folder / 'user'} -o IdentitiesOnly=yes {known}"
    finally:
        server.terminate()
        server.wait(10)


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with closing(socket.socket()) as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("sshd did not start")

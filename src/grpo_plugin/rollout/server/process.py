"""The vLLM server as a process: launched, adopted, awaited, watched, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from grpo_plugin.errors import RolloutError
from grpo_plugin.files import atomic_write
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server import guard
from grpo_plugin.rollout.server.command import WORKER_EXTENSION, ServerCommand
from grpo_plugin.rollout.server.diagnosis import explain, tail
from grpo_plugin.rollout.server.endpoint import Endpoint, claim_port, shared_memory_prefix


@dataclass(frozen=True)
class _State:
    """What `run_dir/server.json` keeps, for other processes of the run."""

    guard_pid: int
    guard_started: str
    argv: list[str]
    settings: dict[str, str]
    host: str | None
    port: int | None
    key: str | None
    log_path: str
    log_start: int


class Server:
    """A vLLM server behind its guard process; the guard ends it when the owner or the server goes."""

    def __init__(self, run_dir: Path, state: _State, process: subprocess.Popen[bytes] | None) -> None:
        self.run_dir = run_dir
        self.endpoint = Endpoint(run_dir, state.host, state.port, state.key)
        self.log_path = Path(state.log_path)
        self._state = state
        self._process = process  # None when another process launched it

    @classmethod
    def launch(cls, command: ServerCommand, run_dir: Path, log_path: Path, owner_pid: int | None = None) -> Self:
        """Start the guard, and it the server; returns at once. `owner_pid` is this process unless given.

        Raises:
            RolloutError: when the interpreter is missing, the TCP port is taken, or a server runs in `run_dir` already.
        """
        _check_startable(command, run_dir)
        _prepare(command, run_dir, log_path)
        log_start = log_path.stat().st_size if log_path.exists() else 0
        process = _start_guard(command, run_dir, log_path, owner_pid or os.getpid())
        state = _State(
            guard_pid=process.pid,
            guard_started=guard.start_time(process.pid) or "",
            argv=list(command.argv),
            settings=dict(command.settings),
            host=command.endpoint.host,
            port=command.endpoint.port,
            key=command.endpoint.key,
            log_path=str(log_path.absolute()),
            log_start=log_start,
        )
        with atomic_write(run_dir / "server.json", private=True) as file:
            file.write_text(json.dumps(asdict(state)))
        return cls(run_dir, state, process)

    @classmethod
    def adopt(cls, run_dir: Path) -> Self:
        """The server that another process of this run launched in `run_dir`.

        Raises:
            RolloutError: when no server of ours runs there.
        """
        state = _read_state(run_dir)
        server = cls(run_dir, state, None) if state else None
        if server is None or not server.alive():
            raise RolloutError(f"no vLLM server runs in {run_dir} any more; start the run again.")
        return server

    def matches(self, command: ServerCommand) -> bool:
        """Whether this server was started by the same command and the same settings of its environment."""
        return self._state.argv == list(command.argv) and self._state.settings == dict(command.settings)

    @property
    def can_repack(self) -> bool:
        """Whether vLLM's workers have our extension (gate/grpo_worker.py)."""
        return WORKER_EXTENSION in self._state.argv

    def wait_ready(self, timeout: float) -> None:
        """Return once `/health` answers; a server that does not get ready is ended.

        Raises:
            RolloutError: when the server exits or `timeout` seconds pass; with the log's tail and the likely remedy.
        """
        deadline = time.monotonic() + timeout
        with Client(self.endpoint.address, self.endpoint.key, timeout=10.0) as client:
            while not client.health():
                if not self.alive():
                    self._fail("ended before it was ready")
                if time.monotonic() > deadline:
                    self._fail(f"was not ready after {timeout:g} s (rollout.start_timeout)")
                time.sleep(0.1)

    def alive(self) -> bool:
        """Whether the guard runs; it ends within seconds of the server."""
        if self._process is not None:
            return self._process.poll() is None
        return guard.start_time(self._state.guard_pid) == self._state.guard_started

    def fault(self) -> str | None:
        """Why the server cannot work: a process of it has been stopped, or it has ended; None where it can."""
        if not self.alive():
            return "it has ended"
        stopped = guard.stopped(self._state.guard_pid)
        return f"its process {stopped[0]} is stopped (SIGSTOP)" if stopped else None

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and all its children, and return when they are gone; idempotent."""
        if self.alive():
            guard.kill(self._state.guard_pid, signal.SIGTERM)
            if not _wait_until(lambda: not self.alive(), timeout):
                guard.kill(self._state.guard_pid, signal.SIGKILL)
                _wait_until(lambda: not self.alive(), 1.0)
        self._end_orphans()
        guard.remove([self.run_dir], shared_memory_prefix(self.run_dir))

    def log_tail(self, lines: int = 15) -> str:
        """The last meaningful lines of the server's log."""
        return tail(self._log(), lines)

    def _log(self) -> str:
        """What this server has logged; the file may hold earlier ones."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._state.log_start)
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def _fail(self, what: str) -> None:
        self.stop()
        raise RolloutError(f"vLLM {what}: {explain(self._log())}\nThe end of {self.log_path}:\n{self.log_tail()}")

    def _end_orphans(self) -> None:
        """End the server of a guard that was killed; it has got SIGTERM and is given seconds to end."""
        _wait_until(lambda: not self._orphans(), 3.0)
        shared = guard.mapped_shared_memory(self._orphans())
        for pid in self._orphans():
            if not guard.is_tracker(pid):
                guard.kill(pid, signal.SIGKILL)
        if not _wait_until(lambda: not self._orphans(), 2.0):
            for pid in self._orphans():
                guard.kill(pid, signal.SIGKILL)
        guard.unlink_unmapped(shared)

    def _orphans(self) -> list[int]:
        """The processes of the guard's session, without the guard. Its id is not reused while one of them lives."""
        if guard.start_time(self._state.guard_pid) is not None:
            return []
        return [pid for pid in guard.session_members(self._state.guard_pid) if guard.start_time(pid) is not None]


def _check_startable(command: ServerCommand, run_dir: Path) -> None:
    interpreter, endpoint = command.argv[0], command.endpoint
    if not os.access(interpreter, os.X_OK):
        raise RolloutError(f"rollout.python: {interpreter!r} is no program; name the interpreter that has vLLM.")
    if (state := _read_state(run_dir)) and guard.start_time(state.guard_pid) == state.guard_started:
        raise RolloutError(f"a vLLM server runs in {run_dir} already (guard {state.guard_pid}); stop it first.")
    if endpoint.host and endpoint.port:
        claim_port(endpoint.host, endpoint.port)


def _prepare(command: ServerCommand, run_dir: Path, log_path: Path) -> None:
    for folder in (run_dir, run_dir / "tmp"):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    if command.endpoint.socket:
        # A socket that a killed server has left; no server of ours listens on it.
        command.endpoint.socket.unlink(missing_ok=True)
    log_path.parent.mkdir(parents=True, exist_ok=True)


def _start_guard(command: ServerCommand, run_dir: Path, log_path: Path, owner: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-I", "-S", guard.__file__]
    argv += ["--owner", str(owner), "--owner-started", guard.start_time(owner) or "gone"]
    argv += ["--remove", str(run_dir), "--remove-prefix", shared_memory_prefix(run_dir), "--", *command.argv]
    with log_path.open("ab") as log:
        return subprocess.Popen(
            argv,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _read_state(run_dir: Path) -> _State | None:
    try:
        values: Mapping[str, Any] = json.loads((run_dir / "server.json").read_text())
    except (OSError, ValueError):
        return None
    return _State(**values)


def _wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

"""The vLLM server as a process: launched, adopted, awaited, watched, stopped."""

from pathlib import Path
from typing import Self

from grpo_plugin.rollout.command import ServerCommand
from grpo_plugin.rollout.endpoint import Endpoint


class Server:
    """A vLLM server behind its guard process; the guard ends it when the owner or the server goes."""

    endpoint: Endpoint
    log_path: Path

    @classmethod
    def launch(cls, command: ServerCommand, run_dir: Path, log_path: Path, owner_pid: int | None = None) -> Self:
        """Start the guard, and it the server; returns at once. `owner_pid` is this process unless given.

        Raises:
            RolloutError: when the TCP port is taken or the interpreter is missing.
        """
        raise NotImplementedError

    @classmethod
    def adopt(cls, run_dir: Path) -> Self:
        """The server that another process of this run launched in `run_dir`.

        Raises:
            RolloutError: when no server of ours runs there.
        """
        raise NotImplementedError

    def matches(self, command: ServerCommand) -> bool:
        """Whether this server was started by the same command and environment."""
        raise NotImplementedError

    def wait_ready(self, timeout: float) -> None:
        """Return once `/health` answers.

        Raises:
            RolloutError: when the server exits or `timeout` seconds pass; with the log's tail and the likely remedy.
        """
        raise NotImplementedError

    def alive(self) -> bool:
        """Whether guard and server both run."""
        raise NotImplementedError

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and all its children, and return when they are gone; idempotent."""
        raise NotImplementedError

    def log_tail(self, lines: int = 15) -> str:
        """The last meaningful lines of the server's log."""
        raise NotImplementedError

"""The server as the main process holds it: launched here, adopted from the launcher, or somebody else's."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.process import Server


class Host:
    """A server, a client to it, and the way to start another.

    Args:
        server: the running server; None for an external one.
        client: talks to it.
        launch: starts a server in a fresh folder; None for an external one, which is never started or stopped.
    """

    def __init__(
        self, server: Server | None, client: Client, launch: Callable[[Path], Server] | None, timeout: float
    ) -> None:
        self.server = server
        self.client = client
        self._launch = launch
        self._timeout = timeout

    @classmethod
    def of(cls, server: Server, launch: Callable[[Path], Server], timeout: float) -> "Host":
        """A server of this run; `timeout` in seconds for one answer."""
        return cls(server, Client(server.endpoint.address, server.endpoint.key, timeout), launch, timeout)

    @classmethod
    def external(cls, url: str, key: str | None, timeout: float) -> "Host":
        return cls(None, Client(url, key, timeout), None, timeout)

    @cached_property
    def run_dir(self) -> Path:
        """A private folder of this run, for what the server is to read."""
        return self.server.run_dir if self.server is not None else make_run_dir()

    @property
    def counts_versions(self) -> bool:
        """Whether the server checks weight versions; an external one has no gate of ours."""
        return self.server is not None

    def wait_ready(self, timeout: float) -> None:
        """Return once the server answers.

        Raises:
            RolloutError: after `timeout` seconds, or when the server has ended.
        """
        if self.server is not None:
            self.server.wait_ready(timeout)
        elif not self.client.health():
            raise RolloutError(
                f"rollout.url: no vLLM server answers at {self.client.address}; start it, or check the URL."
            )

    def restart(self, timeout: float) -> None:
        """Replace the server by a fresh one, which has version 0 of the weights.

        Raises:
            RolloutError: for an external server, or when the fresh one does not get ready.
        """
        if self.server is None or self._launch is None:
            raise RolloutError(f"the server at rollout.url ({self.client.address}) failed; restart it, then the run.")
        self.server.stop()
        self.__dict__.pop("run_dir", None)
        self.server = self._launch(make_run_dir())
        self.client.close()
        self.client = Client(self.server.endpoint.address, self.server.endpoint.key, self._timeout)
        self.server.wait_ready(timeout)

    def stop(self) -> None:
        self.client.close()
        if self.server is not None:
            self.server.stop()

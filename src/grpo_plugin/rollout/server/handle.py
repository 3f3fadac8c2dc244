"""The server as the main process holds it: launched here, adopted from the launcher, or somebody else's."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.process import Server


class ServerHandle:
    """A server, a client to it, and how to start another.

    Args:
        server: the running server; None for an external one.
        client: talks to it.
        launch: starts a server in a new folder; None for an external one, which is never started or stopped.
        timeout: seconds for one answer.
    """

    def __init__(
        self, server: Server | None, client: Client, launch: Callable[[Path], Server] | None, timeout: float
    ) -> None:
        self.server = server
        self.client = client
        self._launch = launch
        self._timeout = timeout

    @classmethod
    def of(cls, server: Server, launch: Callable[[Path], Server], timeout: float) -> "ServerHandle":
        """The handle of a server that this run started; `launch` starts another in its place."""
        return cls(server, _client(server, timeout), launch, timeout)

    @classmethod
    def external(cls, url: str, key: str | None, timeout: float) -> "ServerHandle":
        """The handle of a server that others run at `url`; `key` opens it."""
        return cls(None, Client(url, key, timeout), None, timeout)

    @cached_property
    def run_dir(self) -> Path:
        """A private folder of this run for what the server is to read."""
        return self.server.run_dir if self.server is not None else make_run_dir()

    @property
    def counts_versions(self) -> bool:
        """Whether the server checks weight versions; an external one was started without our gate."""
        return self.server is not None

    @property
    def reload_method(self) -> str:
        """The method of vLLM's workers that loads weights from a folder: ours, where the server has our extension."""
        return "reload_weights_and_repack" if self.server is not None and self.server.can_repack else "reload_weights"

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
        """Stop the server and start another, which has version 0 of the weights; return once it answers.

        Raises:
            RolloutError: for an external server, or when the new one does not get ready in `timeout` seconds.
        """
        if self.server is None or self._launch is None:
            raise RolloutError(f"the server at rollout.url ({self.client.address}) failed; restart it, then the run.")
        self.server.stop()
        self.__dict__.pop("run_dir", None)
        self.server = self._launch(make_run_dir())
        self.client.close()
        self.client = _client(self.server, self._timeout)
        self.server.wait_ready(timeout)

    def stop(self) -> None:
        """Close the connection; stop the server if this run started it."""
        self.client.close()
        if self.server is not None:
            self.server.stop()


def _client(server: Server, timeout: float) -> Client:
    return Client(server.endpoint.address, server.endpoint.key, timeout, fault=server.fault)

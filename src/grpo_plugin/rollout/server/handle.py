"""The main process's handle to the server: launched here, adopted from the launcher, or external."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.failures import ServerGone
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.process import Server

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds to wait before each retry of an external server that failed."""


FIRST_TRIES = 2
"""Retries of an external server that fails when the run begins, where a wrong URL should be told soon."""


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
        self._own_dir: Path | None = None
        self._model: str | None = None  # that an external server must serve

    @classmethod
    def of(cls, server: Server, launch: Callable[[Path], Server], timeout: float) -> "ServerHandle":
        """The handle of a server that this run started; `launch` starts another in its place."""
        return cls(server, _client(server, timeout), launch, timeout)

    @classmethod
    def external(cls, url: str, key: str | None, timeout: float, model: str | None = None) -> "ServerHandle":
        """The handle of an external server at `url`, which must serve `model`; `key` is sent with requests."""
        handle = cls(None, Client(url, key, timeout), None, timeout)
        handle._model = model
        return handle

    @property
    def run_dir(self) -> Path:
        """A private folder of this run for what the server is to read."""
        if self.server is not None:
            return self.server.run_dir
        if self._own_dir is None:
            self._own_dir = make_run_dir()
        return self._own_dir

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
            RolloutError: after `timeout` seconds, or when the server has ended; an external one refuses the key, or
                serves another model, which the weights of this one would break for whoever uses it.
        """
        if self.server is not None:
            self.server.wait_ready(timeout)
        else:
            self._check_external()

    def _check_external(self) -> None:
        served = self._served_names()
        if self._model is not None and Path(self._model).name not in {Path(name).name for name in served}:
            raise RolloutError(
                f"rollout.url: the server at {self.client.address} serves {' or '.join(map(repr, served))}, and "
                f"base_model is {self._model!r}; start it with this model, or with --served-model-name="
                f"{Path(self._model).name} if it is the same."
            )

    def _served_names(self) -> list[str]:
        """What an external server serves; one that fails is asked again, as a fault may pass."""
        for pause in PAUSES[:FIRST_TRIES]:
            with suppress(ServerGone):
                return self.client.served_names()
            time.sleep(pause)
        try:
            return self.client.served_names()
        except ServerGone as error:
            raise RolloutError(
                f"rollout.url: no vLLM server answers at {self.client.address} ({error}); start it, or check the URL."
            ) from None

    def restart(self, timeout: float) -> None:
        """Stop the server and start another, which has version 0 of the weights; return once it answers.

        An external server is only waited for, with growing pauses.

        Raises:
            RolloutError: it does not get ready in `timeout` seconds; an external one does not answer for a minute.
        """
        if self.server is None or self._launch is None:
            self._wait_for_external()
            return
        self.server.stop()
        self.server = self._launch(make_run_dir())
        self.client.close()
        self.client = _client(self.server, self._timeout)
        self.server.wait_ready(timeout)

    def stop(self) -> None:
        """Close the connection; stop the server if this run started it."""
        self.client.close()
        if self.server is not None:
            self.server.stop()
        if self._own_dir is not None:
            shutil.rmtree(self._own_dir, ignore_errors=True)

    def _wait_for_external(self) -> None:
        for pause in PAUSES:
            time.sleep(pause)
            if self.client.health():
                return
        raise RolloutError(
            f"the server at rollout.url ({self.client.address}) has not answered for {sum(PAUSES):.0f} s; start it "
            "again, then go on from the last checkpoint."
        )


def _client(server: Server, timeout: float) -> Client:
    return Client(server.endpoint.address, server.endpoint.key, timeout, fault=server.fault)

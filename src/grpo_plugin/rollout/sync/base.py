"""What every way of sending weights to vLLM shares: one promise, one error, and ranks that fail together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from grpo_plugin.errors import RolloutError


class SyncFailed(RolloutError):
    """The server did not take the weights and may hold half of them: it must not generate before a restart."""


class Updater(Protocol):
    """Sends the policy's weights. Made once per server; every rank calls it, rank 0 talks to the server."""

    def push(self, model: nn.Module, version: int) -> None:
        """Return once the server has the weights of `model`, counted as `version`. Collective.

        Raises:
            SyncFailed: on every rank, when the server did not take them.
            RolloutError: on every rank, when they could not be sent; the server still has the ones before.
        """

    def close(self) -> None:
        """Free what the updater holds; the server may be gone."""


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """Raise on every rank what failed on any: nobody waits in a collective for a rank that has given up."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    mine = None if failure is None else (isinstance(failure, SyncFailed), str(failure))
    failures = [entry for entry in gather_object([mine]) if entry] if accelerator.num_processes > 1 else []
    if failure is not None:
        raise failure
    for server_lost, message in failures:
        raise SyncFailed(message) if server_lost else RolloutError(message)

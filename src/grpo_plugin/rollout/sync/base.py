"""The interface of the weight transports to vLLM, its error, and errors on every rank."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from grpo_plugin.errors import RolloutError


class SyncFailed(RolloutError):
    """The server did not take the weights and may have half of them: it must be restarted before it generates."""


class WeightTransport(Protocol):
    """Sends the policy's weights to one server. Every rank has one and calls it; rank 0 talks to the server."""

    def push(self, model: nn.Module, version: int) -> None:
        """Return once the server has the weights of `model` and calls them `version`. Collective.

        Raises:
            SyncFailed: on every rank, when the server did not take them.
            RolloutError: on every rank, when they could not be sent; the server still has the previous ones.
        """

    def close(self) -> None:
        """Free what is held open; the server may be gone."""


@contextmanager
def raise_on_every_rank(accelerator: Accelerator) -> Iterator[None]:
    """Raise an error of any rank on all of them: none waits in a collective for one that has stopped. Collective."""
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

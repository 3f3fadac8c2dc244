"""vLLM from the trainer's side: `sync` the policy's weights, `generate` completions; a dead server is replaced.

Every method is collective: all ranks call it together. Only the main process sends HTTP requests, and an error there is
raised on every rank, so that no rank waits for one that has stopped.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.environments.episode import Episode
from grpo_plugin.errors import GrpoPluginError, RolloutError
from grpo_plugin.rollout.client.failures import ServerGone, StaleWeights
from grpo_plugin.rollout.client.prefetch import Groups, Prefetch, Request
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync.base import SyncFailed, WeightTransport

T = TypeVar("T")

SERVER_LOST = (ServerGone, StaleWeights, SyncFailed)
"""Errors after which a new server, given the weights again, can go on."""


class RolloutEngine:
    """One vLLM server and the version of the weights it has.

    Args:
        server: the server as the main process holds it; None on every other rank.
        make_transport: builds the weight transport to a server, anew after each restart.
        note: shows the user one line.

    Attributes:
        version: of the weights that the server has: how often they were synced; 0 is the model it loaded itself.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        config: RolloutConfig,
        server: ServerHandle | None,
        make_transport: Callable[[ServerHandle | None], WeightTransport],
        note: Callable[[str], None] = print,
    ) -> None:
        self.accelerator = accelerator
        self.config = config
        self.version = 0
        self._prefetch: Prefetch | None = None
        self._server = server
        self._make_transport = make_transport
        self._note = note
        self._restarts = 0
        self._transport: WeightTransport | None = None

    def start(self) -> None:
        """Wait until the server is ready.

        Raises:
            RolloutError: when it does not get ready in `rollout.start_timeout` seconds.
        """
        self._on_main(lambda server: server.wait_ready(self.config.start_timeout))
        self._connect()

    def sync(self, model: nn.Module) -> int:
        """Give the server the policy's current weights and return their version, the next number.

        Prefetched completions are waited for first, so that one version of the weights samples all of them.

        Raises:
            RolloutError: when the weights could not be sent, also to new servers (`rollout.restarts`).
        """
        if self._prefetch is not None:
            self._prefetch.wait()
        self.version += 1
        try:
            self._push(model)
        except SERVER_LOST as error:
            self._replace_server(model, error)
        return self.version

    def prefetch(self, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None) -> None:
        """Ask the server for what `generate` will be called with next, from its current weights; return at once.

        Args: as `generate`'s.
        """
        request, _ = self._gathered(prompts, n, sampling, images)
        self._prefetch = Prefetch(request)
        if self._server is not None:
            self._prefetch.start(partial(self._ask, self._server, request, self.version))

    @property
    def is_ahead(self) -> bool:
        """Whether there are prefetched completions that `generate` has not returned yet."""
        return self._prefetch is not None

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[list[int]],
        n: int,
        sampling: Sampling,
        images: Sequence[Any] | None = None,
        *,
        fresh: bool = False,
    ) -> list[list[Completion]]:
        """`n` completions for each of this rank's prompts (token ids); each says which weights sampled it.

        Args:
            model: the policy, for a server that has to be replaced.
            prompts: ranks may bring different numbers of them, also none.
            images: per prompt a list of its Pillow images, or None.
            fresh: sample with the current weights, even if the same was prefetched with older ones.

        Raises:
            RolloutError: a refused request, or a server lost more often than `rollout.restarts` allows.
        """
        request, first = self._gathered(prompts, n, sampling, images)
        return self._groups(model, request, fresh)[first : first + len(prompts)]

    def play(
        self,
        model: nn.Module,
        episodes: Sequence[Episode],
        sampling: Sampling,
        wait_for: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Play the main process's episodes to their end; other ranks bring none, and wait.

        Args:
            model: the policy, for a server that has to be replaced; episodes go on from the tokens that they have.
            wait_for: runs a coroutine to its end in the event loop that environments belong to.

        Raises:
            RolloutError: as `generate`; whatever an environment raises.
        """

        def play(server: ServerHandle) -> None:
            verify = server.counts_versions
            wait_for(
                server.client.play(episodes, sampling=sampling, version=self.version, verify_version=verify),
            )

        while True:
            try:
                return self._on_main(play)
            except SERVER_LOST as error:
                self._replace_server(model, error)

    def close(self) -> None:
        """Close the transport and the connection; stop the server too, if this run started it."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._server is not None:
            self._server.stop()

    def _gathered(
        self, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None
    ) -> tuple[Request, int]:
        """Every rank's prompts as one request, and the index at which this rank's begin."""
        counts = gather_object([len(prompts)])
        pictures = gather_object(list(images) if images is not None else [None] * len(prompts))
        everyone = Request(gather_object(list(prompts)), n, sampling, pictures if any(pictures) else None)
        return everyone, sum(counts[: self.accelerator.process_index])

    def _groups(self, model: nn.Module, request: Request, fresh: bool) -> Groups:
        """The completions of every rank's prompts, on every rank."""
        if not fresh and self._prefetch is not None and self._prefetch.request == request:
            prefetch, self._prefetch = self._prefetch, None
            try:
                return self._on_main(lambda server: prefetch.result())
            except SERVER_LOST as error:
                self._note(f"vLLM failed while it generated the next batch ({error})")
        while True:
            try:
                return self._on_main(lambda server: self._ask(server, request, self.version))
            except SERVER_LOST as error:
                self._replace_server(model, error)

    @staticmethod
    def _ask(server: ServerHandle, request: Request, version: int) -> Groups:
        return server.client.complete(
            request.prompts,
            n=request.n,
            sampling=request.sampling,
            version=version,
            verify_version=server.counts_versions,
            images=request.images,
        )

    def _replace_server(self, model: nn.Module, error: RolloutError) -> None:
        """Start a new server in place of a lost one and give it the weights, as often as `rollout.restarts` allows.

        A server at `rollout.url` is only waited for, and given the weights again.

        Raises:
            RolloutError: no restart is left; `error` or the last failure says why the server was lost.
        """
        while self._restarts < self.config.restarts:
            self._restarts += 1
            try:
                self._on_main(partial(self._restart, error=error))
                self._connect()
                return self._push(model)
            except SERVER_LOST as again:
                error = again
        raise RolloutError(self._no_restart_left(error)) from error

    def _restart(self, server: ServerHandle, error: RolloutError) -> None:
        action = "asking it again once it answers" if self.config.url else "restarting it"
        self._note(f"vLLM failed ({error}); {action} ({self._restarts} of {self.config.restarts})")
        server.restart(self.config.start_timeout)

    def _no_restart_left(self, error: RolloutError) -> str:
        done, times = ("asked again", "tries") if self.config.url else ("restarted", "restarts")
        if self._restarts == 0:
            return f"{error} (rollout.restarts is 0, so it was not {done}.)"
        return f"vLLM failed again after {self._restarts} {times} (rollout.restarts): {error}"

    def _connect(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = self._make_transport(self._server)

    def _push(self, model: nn.Module) -> None:
        if self._transport is None:
            raise RolloutError("the rollout engine was not started; call start() before sync().")
        self._transport.push(model, self.version)

    def _on_main(self, work: Callable[[ServerHandle], T]) -> T:
        """Call `work` with the server on the main process; every rank gets its result, or its error."""
        outcome: list[Any] = [None]
        if self._server is not None:
            try:
                outcome = [(work(self._server), None)]
            except GrpoPluginError as error:
                outcome = [(None, error)]
        broadcast_object_list(outcome, from_process=0)
        result, failure = outcome[0]
        if failure is not None:
            raise failure
        return result

"""vLLM as a trainer sees it: versioned weights in, completions out, a dead server replaced.

Every method is collective: all ranks call it together, the main process alone talks HTTP, and a failure there is
raised on every rank, so that none is left waiting.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import GrpoPluginError, RolloutError
from grpo_plugin.rollout.client.ahead import Ahead
from grpo_plugin.rollout.client.http import Completion, ServerGone, StaleWeights
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.server.handle import Host
from grpo_plugin.rollout.sync.base import SyncFailed, Updater

T = TypeVar("T")

LOST = (ServerGone, StaleWeights, SyncFailed)  # a fresh server with the weights pushed again puts it right


class RolloutEngine:
    """One vLLM server, its weights and its faults.

    Args:
        host: the server as the main process holds it; None on every other rank.
        make_updater: builds the updater for a host, anew for each server.
        note: tells the user something worth a line.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        config: RolloutConfig,
        host: Host | None,
        make_updater: Callable[[Host | None], Updater],
        note: Callable[[str], None] = print,
    ) -> None:
        self.accelerator = accelerator
        self.config = config
        self.version = 0
        self.drawn_version = 0
        self._ahead: Ahead | None = None
        self._host = host
        self._make_updater = make_updater
        self._note = note
        self._restarts = 0
        self._updater: Updater | None = None

    def start(self) -> None:
        """Wait until the server is ready.

        Raises:
            RolloutError: when it does not get ready in `rollout.start_timeout` seconds.
        """
        self._on_main(lambda host: host.wait_ready(self.config.start_timeout))
        self._connect()

    def sync(self, model: nn.Module) -> None:
        """Give the server the policy's present weights, as the next version; what is asked ahead is waited for."""
        if self._ahead is not None:
            self._ahead.wait()
        self.version += 1
        try:
            self._push(model)
        except LOST as error:
            self._recover(model, error)

    def prefetch(self, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None) -> None:
        """Begin what `generate` will be asked next, with the weights the server has now; returns at once."""
        asked, pictures = self._gathered(prompts, n, images)
        expected = None if self._host is None else self._expected(self._host)
        self._ahead = Ahead(asked, self.version)
        if self._host is not None:
            client = self._host.client
            self._ahead.start(
                lambda: client.complete(asked, n=n, sampling=sampling, expect_version=expected, images=pictures)
            )

    @property
    def is_ahead(self) -> bool:
        """Whether completions have been asked for that `generate` has not taken yet."""
        return self._ahead is not None

    def generate(
        self, model: nn.Module, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None
    ) -> list[Completion]:
        """One completion for each of this rank's prompts (token ids).

        Over the ranks laid end to end, each prompt stands `n` times in a row, as TRL lays out a batch; it is sent
        once. `model` is what a restarted server is given. Afterwards `drawn_version` is that of the weights used.
        """
        mine = len(prompts)
        everyone, pictures = self._gathered(prompts, n, images)
        ahead, self._ahead = self._ahead, None
        groups = self._taken(ahead) if ahead is not None and ahead.prompts == everyone else None
        if groups is None:
            groups = self._complete(model, everyone, n, sampling, pictures)
            self.drawn_version = self.version
        flat = [completion for group in groups for completion in group]
        first = self.accelerator.process_index * mine
        return flat[first : first + mine]

    def complete(
        self, model: nn.Module, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None
    ) -> list[list[Completion]]:
        """`n` completions for each of this rank's prompts; ranks may bring different numbers of prompts."""
        counts = gather_object([len(prompts)])
        everyone = gather_object(list(prompts))
        pictures = gather_object(list(images) if images is not None else [None] * len(prompts))
        groups = self._complete(model, everyone, n, sampling, pictures if any(pictures) else None)
        first = sum(counts[: self.accelerator.process_index])
        return groups[first : first + len(prompts)]

    def _gathered(
        self, prompts: Sequence[list[int]], n: int, images: Sequence[Any] | None
    ) -> tuple[list[list[int]], list[Any] | None]:
        """Every rank's prompts, each once, and their images if any has some."""
        pictures = gather_object(list(images) if images is not None else [None] * len(prompts))[::n]
        return gather_object(list(prompts))[::n], pictures if any(one is not None for one in pictures) else None

    def _taken(self, ahead: Ahead) -> list[list[Completion]] | None:
        """What was asked for ahead; None if the server failed meanwhile, so that it is asked again."""
        try:
            groups = self._on_main(lambda host: ahead.result())
        except LOST as error:
            self._note(f"vLLM failed while it generated ahead ({error})")
            return None
        self.drawn_version = ahead.version
        return groups

    def close(self) -> None:
        """End what was opened here; the server too, if this run started it."""
        if self._updater is not None:
            self._updater.close()
            self._updater = None
        if self._host is not None:
            self._host.stop()

    def _complete(
        self, model: nn.Module, prompts: Sequence[list[int]], n: int, sampling: Sampling, images: Sequence[Any] | None
    ) -> list[list[Completion]]:
        """Ask the server; when it is gone or has the wrong weights, replace it, push again, and ask again."""

        def ask(host: Host) -> list[list[Completion]]:
            return host.client.complete(
                prompts, n=n, sampling=sampling, expect_version=self._expected(host), images=images
            )

        while True:
            try:
                return self._on_main(ask)
            except LOST as error:
                self._recover(model, error)

    def _expected(self, host: Host) -> int | None:
        return self.version if host.counts_versions else None

    def _recover(self, model: nn.Module, error: RolloutError) -> None:
        """Replace the server and give the new one the weights, as often as `rollout.restarts` allows."""
        while self._restarts < self.config.restarts:
            self._restarts += 1
            try:
                self._on_main(partial(self._relaunch, error=error))
                self._connect()
                return self._push(model)
            except LOST as again:
                error = again
        raise RolloutError(self._given_up(error)) from error

    def _connect(self) -> None:
        if self._updater is not None:
            self._updater.close()
        self._updater = self._make_updater(self._host)

    def _relaunch(self, host: Host, error: RolloutError) -> None:
        self._note(f"vLLM failed ({error}); restarting it ({self._restarts} of {self.config.restarts})")
        host.restart(self.config.start_timeout)

    def _given_up(self, error: RolloutError) -> str:
        if self._restarts == 0:
            return f"{error} (rollout.restarts is 0, so it was not restarted.)"
        return f"vLLM failed again after {self._restarts} restarts (rollout.restarts): {error}"

    def _push(self, model: nn.Module) -> None:
        if self._updater is None:
            raise RolloutError("the rollout engine was not started; call start() before sync().")
        self._updater.push(model, self.version)

    def _on_main(self, work: Callable[[Host], T]) -> T:
        """Do `work` on the main process and give every rank its result, or its error."""
        outcome: list[Any] = [None]
        if self._host is not None:
            try:
                outcome = [(work(self._host), None)]
            except GrpoPluginError as error:
                outcome = [(None, error)]
        broadcast_object_list(outcome, from_process=0)
        result, failure = outcome[0]
        if failure is not None:
            raise failure
        return result

"""vLLM as the trainer's backend: explicit weight syncs, and prefetched batches."""

from collections.abc import Callable, Sequence

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.episode import Episode
from grpo_plugin.rollout.client.http import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.scoring.async_loop import wait_for
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.tokenization import Images


class VllmBackend:
    """The rollout engine with the policy whose weights it serves. Every method is collective.

    Args:
        await_ready: returns once the server answers; called before the first sync.
    """

    def __init__(
        self,
        engine: RolloutEngine,
        policy: Policy,
        await_ready: Callable[[RolloutEngine], None],
        stopwatch: Stopwatch,
    ) -> None:
        self.engine, self._policy = engine, policy
        self._await_ready, self._stopwatch = await_ready, stopwatch
        self._synced_step: int | None = None

    @property
    def version(self) -> int:
        """How many times weights were sent to the server."""
        return self.engine.version

    @property
    def is_ahead(self) -> bool:
        """Whether the next batch is prefetched already."""
        return self.engine.is_ahead

    def sync_weights(self, step: int) -> None:
        """Send the policy's weights, unless the server has those of `step` already."""
        if self._synced_step == step:
            return
        if self._synced_step is None:
            with self._stopwatch("waiting for vLLM"):
                self._await_ready(self.engine)
        with self._stopwatch("sync"):
            self.engine.sync(self._policy.model)
        self._synced_step = step

    def generate(
        self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Images], *, fresh: bool = False
    ) -> Sequence[Sequence[Completion]]:
        """As `Backend.generate`; what `prefetch` requested is awaited and returned."""
        return self.engine.generate(
            self._policy.model, self._vllm_prompt_ids(prompt_ids), n, sampling, images, fresh=fresh
        )

    plays_on_main = True  # which alone has the server

    def play(self, episodes: Sequence[Episode], sampling: Sampling) -> None:
        """As `Backend.play`: each episode asks for its turns by itself."""
        self.engine.play(self._policy.model, episodes, sampling, lambda work: wait_for(work, None))

    def prefetch(self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Images]) -> None:
        """Request what `generate` will be called with next, from the server's weights; returns at once."""
        self.engine.prefetch(self._vllm_prompt_ids(prompt_ids), n, sampling, images)

    def state(self) -> int:
        """The version."""
        return self.engine.version

    def restore(self, state: int) -> None:
        """Count versions on from `state`; the server gets the weights with the next sync."""
        self.engine.version = state

    def close(self) -> None:
        """End the server, if this run started it, so that its GPU is free."""
        self.engine.close()

    def _vllm_prompt_ids(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        vision = self._policy.vision
        return vision.vllm_prompt_ids(prompt_ids) if vision else prompt_ids

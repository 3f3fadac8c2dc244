"""Completions by Hugging Face's `generate`, for runs without vLLM."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from grpo_plugin.environments.episode import Episode
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.rollout.client.side_by_side import side_by_side
from grpo_plugin.scoring.async_loop import wait_for
from grpo_plugin.trainer.tokenization import Images
from grpo_plugin.trainer.vision import Vision

BATCH = 256  # completions generated at once

# (prompt token ids, images, further inputs of the model) -> completion token ids, as TRL generates one turn
Generate = Callable[[list[list[int]], list[Images], dict[str, Any]], list[list[int]]]


@dataclass(frozen=True)
class Completion:
    """As `episode.Completion`; Hugging Face's `generate` returns no log-probabilities."""

    token_ids: list[int]
    finish_reason: str
    version: int
    logps: None = None


class HuggingFaceBackend:
    """The policy itself generates, so its weights are always current.

    Args:
        generate: TRL's generation of one turn.
        config: transformers' GenerationConfig, whose temperature and top_p are those of each call while it runs.
        terminators: token ids that end a completion.
        vision: the image inputs; None for a text model.
    """

    is_ahead = False

    def __init__(
        self,
        generate: Generate,
        config: Any,
        accelerator: Accelerator,
        terminators: Collection[int],
        vision: Vision | None = None,
    ) -> None:
        self.version = 0
        self._generate, self._config, self._accelerator = generate, config, accelerator
        self._terminators, self._vision = frozenset(terminators), vision

    def sync_weights(self, step: int) -> None:
        """Sends nothing; the version is the optimizer step."""
        self.version = step

    def state(self) -> int:
        """The version."""
        return self.version

    def restore(self, state: int) -> None:
        """Count on from `state`."""
        self.version = state

    def generate(
        self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Images], *, fresh: bool = False
    ) -> list[list[Completion]]:
        """As `Backend.generate`; all ranks' prompts are split evenly, as sharded models need."""
        counts = gather_object([len(prompt_ids)])
        prompts = gather_object([*zip(prompt_ids, images, strict=True)])
        repeated = [prompt for prompt in prompts for _ in range(n)]
        if not repeated:
            return []
        ranks, rank = self._accelerator.num_processes, self._accelerator.process_index
        share = -(-len(repeated) // ranks)
        mine = [repeated[index % len(repeated)] for index in range(share * rank, share * (rank + 1))]
        everyone = gather_object(self._completions(mine, sampling))[: len(repeated)]
        first = sum(counts[:rank]) * n
        return [everyone[start : start + n] for start in range(first, first + len(prompt_ids) * n, n)]

    plays_on_main = False

    def play(self, episodes: Sequence[Episode], sampling: Sampling) -> None:
        """As `Backend.play`, in rounds: one batch of turns of all episodes, then all of their tools side by side."""
        wait_for(side_by_side(episodes, lambda place, episode: episode.begin()), None)
        while True:
            waiting = [episode for episode in episodes if not episode.done]
            most = max(gather_object([max((episode.budget for episode in waiting), default=0)]))
            if not most:
                return
            prompts = [episode.token_ids for episode in waiting]
            turns = self.generate(prompts, 1, replace(sampling, max_tokens=most), [None] * len(prompts))
            wait_for(side_by_side(waiting, partial(_add, turns)), None)

    def _completions(self, prompts: Sequence[tuple[list[int], Images]], sampling: Sampling) -> list[Completion]:
        found: list[Completion] = []
        with self._sampling(sampling):
            for start in range(0, len(prompts), BATCH):
                batch = prompts[start : start + BATCH]
                ids, images = [ids for ids, _ in batch], [shown for _, shown in batch]
                pixels = self._vision.pixels(ids, images) if self._vision else {}
                found += [self._ended(row) for row in self._generate(ids, images, pixels)]
        return found

    def _ended(self, token_ids: list[int]) -> Completion:
        """Cut after the first terminator; without one it was truncated at the token limit."""
        for place, token in enumerate(token_ids):
            if token in self._terminators:
                return Completion(token_ids[: place + 1], "stop", self.version)
        return Completion(token_ids, "length", self.version)

    @contextmanager
    def _sampling(self, sampling: Sampling) -> Iterator[None]:
        config = self._config
        before = config.do_sample, config.temperature, config.top_p, config.max_new_tokens
        config.do_sample, config.temperature = sampling.temperature > 0, sampling.temperature or 1.0
        config.top_p, config.max_new_tokens = sampling.top_p, sampling.max_tokens
        try:
            yield
        finally:
            config.do_sample, config.temperature, config.top_p, config.max_new_tokens = before


async def _add(turns: Sequence[Sequence[Completion]], place: int, episode: Episode) -> None:
    """Add the turn of the episode at `place`, the one completion of its prompt."""
    [turn] = turns[place]
    await episode.add_turn(turn)

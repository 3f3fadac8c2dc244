"""Completions of rows of the data by the policy, from vLLM or from Hugging Face."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.episode import Completion, Episode
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.tokenization import Images, PromptTokenizer, Row


class Backend(Protocol):
    """Where completions come from. Every method is collective."""

    @property
    def version(self) -> int:
        """The version of the weights that it generates with."""

    @property
    def is_ahead(self) -> bool:
        """Whether the next batch is being generated already, with older weights."""

    def sync_weights(self, step: int) -> None:
        """Bring the weights up to the policy's after `step` optimizer steps; return once they are in use."""

    def generate(
        self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Images], *, fresh: bool = False
    ) -> Sequence[Sequence[Completion]]:
        """`n` completions of each of this rank's prompts; ranks may have different numbers of prompts.

        Args:
            fresh: with the current weights, even if the same was prefetched with older ones.
        """

    @property
    def plays_on_main(self) -> bool:
        """Whether all episodes are the main process's; each rank plays its own where not."""

    def play(self, episodes: Sequence[Episode], sampling: Sampling) -> None:
        """Play this rank's episodes to their end with the current weights.

        Args:
            sampling: but for the tokens of a turn, which are the episode's budget.

        Raises:
            Whatever an environment raises.
        """

    def state(self) -> int:
        """What a checkpoint keeps: the version."""

    def restore(self, state: int) -> None:
        """Continue counting versions from the `state` of a checkpoint."""


@dataclass(frozen=True)
class Generated:
    """The completions of one row."""

    prompt_ids: list[int]
    completions: Sequence[Completion]


class Generator:
    """Completes rows; collective, each rank with its own rows.

    Args:
        sampling: as in training.
    """

    def __init__(self, backend: Backend, tokenizer: PromptTokenizer, sampling: Sampling, stopwatch: Stopwatch) -> None:
        self.backend, self.tokenizer, self.sampling, self._stopwatch = backend, tokenizer, sampling, stopwatch

    def generate(
        self, rows: Sequence[Row], n: int, sampling: Sampling | None = None, *, fresh: bool = False
    ) -> list[Generated]:
        """`n` completions of each row; `sampling` in place of the one in training, `fresh` as in `Backend.generate`."""
        prompt_ids, images = self.tokenizer.prompts(rows)
        with self._stopwatch("generate"):
            groups = self.backend.generate(prompt_ids, n, sampling or self.sampling, images, fresh=fresh)
        return [Generated(ids, group) for ids, group in zip(prompt_ids, groups, strict=True)]


def with_temperature(
    sampling: Sampling, temperature: float, top_p: float | None = None, max_tokens: int | None = None
) -> Sampling:
    """The same sampling at another temperature, top-p and length; greedy (0) drops top-p, top-k and min-p."""
    sampling = replace(sampling, temperature=temperature, max_tokens=max_tokens or sampling.max_tokens)
    if temperature == 0.0:
        return replace(sampling, top_p=1.0, top_k=0, min_p=None)
    return replace(sampling, top_p=sampling.top_p if top_p is None else top_p)

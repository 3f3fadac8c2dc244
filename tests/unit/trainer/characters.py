"""A policy that answers as a test says: a token is a character."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.trainer.generator import Generator
from grpo_plugin.trainer.tokenization import PromptTokenizer

END = 1  # a special token


class Processing:
    """What the prompt tokenizer asks of a tokenizer."""

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool) -> str:
        kept = [token for token in token_ids if token != END or not skip_special_tokens]
        return "".join("§" if token == END else chr(token) for token in kept)


def ids_of(text: str) -> list[int]:
    return [ord(character) for character in text]


@dataclass
class Backend:
    """`answer(prompt, place)` is the completion number `place` of a prompt, at a log-probability of −0.5 a token."""

    answer: Callable[[str, int], str]
    version: int = 1
    is_ahead: bool = False
    synced: tuple[int, ...] = ()
    asked: tuple[Sampling, ...] = ()

    def sync_weights(self, step: int) -> None:
        self.synced = (*self.synced, step)

    def generate(
        self, prompt_ids: list[list[int]], n: int, sampling: Sampling, images: Any, *, fresh: bool = False
    ) -> Any:
        self.asked = (*self.asked, sampling)
        texts = [Processing().decode(ids, False) for ids in prompt_ids]
        return [[self._completion(text, place) for place in range(n)] for text in texts]

    def _completion(self, prompt: str, place: int) -> Completion:
        ids = [*ids_of(self.answer(prompt, place)), END]
        return Completion(ids, [-0.5] * len(ids), "stop", self.version)


def make_generator(backend: Backend, **options: Any) -> Generator:
    def tokenize(prompts: list[str]) -> Any:
        return [ids_of(prompt) for prompt in prompts], None, {}

    tokenizer = PromptTokenizer(tokenize, Processing(), **options)
    return Generator(backend, tokenizer, Sampling(max_tokens=40, temperature=0.9), Stopwatch())

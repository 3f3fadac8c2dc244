"""Completions by Hugging Face's `generate`, for runs without vLLM."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grpo_plugin.rollout.client.sampling import Sampling

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

BATCH = 256  # completions generated at once


def complete(
    trainer: "PolicyTrainer", prompt_ids: list[list[int]], n: int, sampling: Sampling, images: list[Any] | None = None
) -> list[list[tuple[list[int], str | None]]]:
    """`n` completions (token ids, finish reason) of each prompt, at the temperature and top_p of `sampling`."""
    repeated = [prompt for prompt in zip(prompt_ids, images or [None] * len(prompt_ids), strict=True) for _ in range(n)]
    drawn: list[tuple[list[int], str | None]] = []
    with _sampling(trainer, sampling):
        for start in range(0, len(repeated), BATCH):
            prompts, shown = map(list, zip(*repeated[start : start + BATCH], strict=True))
            pixels = trainer.vision.pixels(prompts, shown) if trainer.vision else {}
            ids, _ = trainer._generate_single_turn(prompts, shown, pixels)
            drawn += [(row, finish_reason(trainer, row)) for row in ids]
    return [drawn[start : start + n] for start in range(0, len(drawn), n)]


def finish_reason(trainer: "PolicyTrainer", token_ids: list[int]) -> str:
    """As vLLM names it: "stop" after the end-of-sequence token, "length" when the budget ran out."""
    return "stop" if token_ids and token_ids[-1] == trainer._tokenizer.eos_token_id else "length"


@contextmanager
def _sampling(trainer: "PolicyTrainer", sampling: Sampling) -> Iterator[None]:
    config: Any = trainer.generation_config
    before = config.do_sample, config.temperature, config.top_p
    config.do_sample, config.temperature = sampling.temperature > 0, sampling.temperature or 1.0
    config.top_p = sampling.top_p
    try:
        yield
    finally:
        config.do_sample, config.temperature, config.top_p = before

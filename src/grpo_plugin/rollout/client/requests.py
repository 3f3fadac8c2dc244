"""One batch of prompts, sent as many requests at once; completions come in the order of the prompts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.client.chat_images import chat_request, check_prompt
from grpo_plugin.rollout.client.responses import Completion, completions

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class PromptBatch:
    """The prompts of one call of `Client.complete`.

    Args:
        ask: sends a body to a route and returns the JSON answer.
        prompts: token ids.
        images: per prompt its Pillow images, or None.
        fields: what every request carries; `fields["n"]` completions per prompt.
        version: of the weights that the server has.
    """

    def __init__(
        self,
        ask: Ask,
        prompts: Sequence[Sequence[int]],
        images: Sequence[Sequence[Any] | None],
        fields: Mapping[str, Any],
        version: int,
    ) -> None:
        self._ask = ask
        self._prompts = prompts
        self._images = images
        self._fields = fields
        self._version = version
        self._answers: dict[int, list[Completion]] = {}

    async def complete(self, requests: int) -> list[list[Completion]]:
        """`n` completions per prompt; prompts without images share `requests` requests, one with images has its own."""
        plain = [index for index, images in enumerate(self._images) if not images]
        try:
            async with asyncio.TaskGroup() as group:
                # The first failure cancels the others, and vLLM stops generating for a client that hangs up.
                for indices in spread(plain, requests):
                    group.create_task(self._complete_text(indices))
                for index in sorted(set(range(len(self._prompts))) - set(plain)):
                    group.create_task(self._complete_with_images(index))
        except* RolloutError as failures:
            raise failures.exceptions[0] from None
        return [self._answers[index] for index in range(len(self._prompts))]

    async def _complete_text(self, indices: Sequence[int]) -> None:
        body = {**self._fields, "prompt": [list(self._prompts[index]) for index in indices]}
        found = completions(await self._ask("/v1/completions", body), len(indices), self._fields["n"], self._version)
        self._answers.update(zip(indices, found, strict=True))

    async def _complete_with_images(self, index: int) -> None:
        prompt_ids = list(self._prompts[index])
        text = (await self._ask("/detokenize", {"tokens": prompt_ids}))["prompt"]
        answer = await self._ask("/v1/chat/completions", chat_request(text, self._images[index] or (), self._fields))
        check_prompt(prompt_ids, answer["prompt_token_ids"])
        (self._answers[index],) = completions(answer, 1, self._fields["n"], self._version)


def spread(indices: Sequence[int], most: int) -> list[Sequence[int]]:
    """`indices` cut into at most `most` slices, as equal in length as possible."""
    count = min(most, len(indices))
    bounds = [len(indices) * place // count for place in range(count + 1)] if count else []
    return [indices[start:end] for start, end in pairwise(bounds)]


def check_length(prompt: int, completion: int, limit: int | None) -> None:
    """Check that a prompt and the longest completion of it, in tokens, fit into the server's context.

    Raises:
        RolloutError: they do not.
    """
    if limit is not None and prompt + completion > limit:
        raise RolloutError(
            f"vllm.max_model_len: {limit} tokens do not hold a prompt of {prompt} and a completion of "
            f"{completion} (trl.max_completion_length); raise max_model_len as far as the model allows, or lower "
            "prompts.max_length or max_completion_length."
        )

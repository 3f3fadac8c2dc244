"""Prompts with their lengths in tokens, images included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from grpo_plugin.prompts.faults import Fault, Faults
from grpo_plugin.prompts.lengths import Chat, ChatCounter, RefusedChat
from grpo_plugin.prompts.rows import Prompt, PromptChunk

ImageTokens = Callable[[int, int], int]


@dataclass(frozen=True)
class Measure:
    """Measures prompts for one field ("prompts.train") as the trainer will see them.

    Args:
        counter: None measures nothing: every prompt has 0 tokens, and is a chat.
        image_tokens: tokens that an image of (height, width) takes in place of its one placeholder.
    """

    field: str
    counter: ChatCounter | None
    image_tokens: ImageTokens | None = None

    @property
    def chats(self) -> bool:
        return self.counter is None or self.counter.chats

    def chat(self, prompt: Prompt) -> Chat:
        """The prompt as the trainer sees it: chat messages, or text for a tokenizer without a chat template."""
        if self.chats:
            return prompt.messages
        return "\n\n".join(message["content"] for message in prompt.messages)

    def one(self, prompt: Prompt) -> int:
        """Tokens of one prompt."""
        return self.counter.count([self.chat(prompt)])[0] + self._for_images(prompt) if self.counter else 0

    def all(self, chunks: Iterable[PromptChunk]) -> Iterator[tuple[PromptChunk, list[int]]]:
        """Each chunk with the tokens of its prompts.

        Raises:
            DataError: the chat template refuses a prompt.
        """
        if self.counter is None:
            yield from ((chunk, [0] * len(chunk.prompts)) for chunk in chunks)
            return
        try:
            for chunk, tokens in self.counter.measure(chunks, lambda chunk: [self.chat(p) for p in chunk.prompts]):
                yield chunk, [n + self._for_images(p) for p, n in zip(chunk.prompts, tokens, strict=True)]
        except RefusedChat as refused:
            faults = Faults(self.field)
            faults.add(refused.chunk.label, refused.chunk.prompts[refused.position].number, Fault(str(refused)))
            faults.check()

    def _for_images(self, prompt: Prompt) -> int:
        """Tokens that the processor puts in for images, beside the placeholders that are counted already."""
        if self.image_tokens is None:
            return 0
        return sum(self.image_tokens(image.height, image.width) - 1 for image in prompt.images)

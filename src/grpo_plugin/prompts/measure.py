"""Lengths of prompts in tokens, images included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from grpo_plugin.prompts.lengths import Chat, ChatCounter, RefusedChat, ahead
from grpo_plugin.prompts.row_errors import RowError, RowErrors
from grpo_plugin.prompts.rows import Prompt, PromptChunk

ImageTokens = Callable[[int, int], int]

PROBES = ((28, 28), (10, 1000), (333, 777), (5000, 5000), (2000, 20))


@dataclass(frozen=True)
class Measure:
    """Measures prompts for one field ("prompts.train") as the trainer will get them.

    Args:
        counter: None measures nothing: every prompt has 0 tokens, and is a chat.
        image_tokens: tokens that an image of (height, width) takes in place of its one placeholder.
    """

    field: str
    counter: ChatCounter | None
    image_tokens: ImageTokens | None = None

    @property
    def identity(self) -> str | None:
        """The same only where the same prompts have the same lengths."""
        if self.counter is None:
            return None
        # Two processors that agree on these sizes are taken to count images alike.
        sizes = [self.image_tokens(*size) for size in PROBES] if self.image_tokens else []
        return f"{self.counter.identity} {sizes}"

    @property
    def chats(self) -> bool:
        return self.counter is None or self.counter.chats

    def chat(self, prompt: Prompt) -> Chat:
        """The prompt as the trainer gets it: chat messages; for a tokenizer without a chat template, text.

        That text is the question, as the recipe's template words it; a system message stands above it, with a blank
        line between.

        Raises:
            RowError: several turns, or images, and no chat template.
        """
        if self.chats:
            return prompt.messages
        roles = [message["role"] for message in prompt.messages]
        contents = [message["content"] for message in prompt.messages]
        if roles not in (["user"], ["system", "user"]) or not all(isinstance(content, str) for content in contents):
            raise RowError("several turns or images, without a chat template for them (chat_template: chatml sets one)")
        return "\n\n".join(contents)

    def one(self, prompt: Prompt) -> int:
        """Tokens of one prompt."""
        return self.counter.count([self.chat(prompt)])[0] + self._for_images(prompt) if self.counter else 0

    def all(self, chunks: Iterable[PromptChunk]) -> Iterator[tuple[PromptChunk, list[int]]]:
        """Each chunk with the tokens of its prompts.

        Raises:
            DataError: the chat template refuses a prompt.
        """
        if self.counter is None:
            return ((chunk, [0] * len(chunk.prompts)) for chunk in chunks)
        return ahead(chunks, self.prepare)

    def prepare(self, chunk: PromptChunk) -> Callable[[], list[int]]:
        """Render a chunk; the function returned counts its tokens.

        Raises:
            DataError: a prompt that the chat template refuses, or an image that the processor does.
        """
        counter, row_errors = self.counter, RowErrors(self.field)
        assert counter is not None
        chats, for_images = [], []
        for prompt in chunk.prompts:
            try:
                chats.append(self.chat(prompt))
                for_images.append(self._for_images(prompt))
            except RowError as error:
                row_errors.add(chunk.label, prompt.number, error)
        row_errors.check()
        try:
            rendered = counter.render(chats)
        except RefusedChat as refused:
            row_errors.add(chunk.label, chunk.prompts[refused.position].number, RowError(str(refused)))
            row_errors.check()
        return lambda: [sum(parts) for parts in zip(counter.count_rendered(rendered), for_images, strict=True)]

    def _for_images(self, prompt: Prompt) -> int:
        """Tokens that the processor puts in for images, beside the placeholders that are counted already."""
        if self.image_tokens is None:
            return 0
        try:
            return sum(self.image_tokens(image.height, image.width) - 1 for image in prompt.images)
        except ValueError as error:
            raise RowError(f"an image that the model's processor refuses ({error})") from None

"""How many tokens a prompt has once the model's own chat template is around it.

The numbers are those of `len(tokenizer.apply_chat_template(messages, add_generation_prompt=True))`, row for row; for a
chat that ends with a message of the assistant, those with `continue_final_message=True`. They are found faster by
rendering with transformers' own compiled template, and by tokenizing in batches, each segment once.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from grpo_plugin.prompts.chat_ending import ending
from grpo_plugin.prompts.chat_template import ChatTemplate
from grpo_plugin.prompts.segments import SegmentCounter
from grpo_plugin.prompts.template_limit import LimitedRenderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THREADS = 2

Chat = str | list[dict[str, Any]]
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


class RefusedChat(ValueError):
    """The chat template raised on the chat at `position`."""

    def __init__(self, position: int, reason: Exception) -> None:
        first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
        super().__init__(f"messages that the model's chat template refuses ({first_line})")
        self.position = position


class ChatCounter:
    """Counts the tokens of prompts with a model's own tokenizer and chat template.

    Args:
        tokenizer: a tokenizer of transformers; one without a chat template counts plain text, special tokens included.
        template_kwargs: further variables for the template (`trl.chat_template_kwargs`).
        chat_template: in place of the tokenizer's own, as processors of vision models bring one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template_kwargs: Mapping[str, Any] | None = None,
        chat_template: str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._chat_template = chat_template
        self._template_kwargs = dict(template_kwargs or {})
        self._segments = SegmentCounter(tokenizer.backend_tokenizer) if _is_stock(tokenizer) else None
        self.chats = bool(chat_template or tokenizer.chat_template)
        self._render = LimitedRenderer(lambda: self._compiled().render) if self._segments and self.chats else None

    def _compiled(self) -> ChatTemplate:
        variables = {**self._tokenizer.special_tokens_map, **self._template_kwargs}
        return ChatTemplate(self._tokenizer.get_chat_template(self._chat_template), variables)

    def close(self) -> None:
        """End the process that renders; it is made again when it is needed."""
        if self._render is not None:
            self._render.close()

    @property
    def identity(self) -> str:
        """Equal only for tokenizers and templates that give the same counts."""
        import tokenizers
        import transformers

        parts = [
            f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}",
            type(self._tokenizer).__qualname__,
            self._tokenizer.backend_tokenizer.to_str() if self._segments else repr(self._tokenizer),
            repr(self._chat_template or self._tokenizer.chat_template),
            repr(sorted(self._tokenizer.special_tokens_map.items())),
            json.dumps(self._template_kwargs, sort_keys=True, default=repr),
        ]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()

    def count(self, chats: Sequence[Chat]) -> list[int]:
        """Tokens of each prompt, with the header of the assistant's turn.

        Raises:
            RefusedChat: the chat template raised on one of them.
        """
        return self.count_rendered(self.render(chats))

    def count_texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of bare texts (answers, completions), without template and special tokens."""
        if self._segments:
            return self._segments.count(texts)
        return [len(self._tokenizer.encode(text, add_special_tokens=False)) for text in texts]

    def render(self, chats: Sequence[Chat]) -> Sequence[Chat]:
        """The text of each chat in the template, where template and encoding are transformers' own; else the chats.

        Raises:
            RefusedChat: the chat template raised on one of them.
        """
        if self._render is None:
            return chats
        rendered = self._render(chats)
        for position, text in enumerate(rendered):
            if isinstance(text, Exception):
                raise RefusedChat(position, text)
        return cast(list[Chat], rendered)

    def count_rendered(self, rendered: Sequence[Any]) -> list[int]:
        """Tokens of what `render` returned; most of the time Python's lock is not held."""
        if not self.chats:
            return [len(self._tokenizer.encode(text)) for text in rendered]
        if self._segments:
            return self._segments.count(rendered)
        return [len(self._apply(chat)) for chat in rendered]

    def _apply(self, chat: Any) -> Any:
        return self._tokenizer.apply_chat_template(
            chat,
            chat_template=self._chat_template,
            return_dict=False,
            **ending(chat),
            **self._template_kwargs,
        )


def _is_stock(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether template and encoding are transformers' own, so that both can be called separately."""
    from transformers.tokenization_utils_tokenizers import TokenizersBackend

    return isinstance(tokenizer, TokenizersBackend) and all(
        getattr(type(tokenizer), name) is getattr(TokenizersBackend, name)
        for name in ("__call__", "_encode_plus", "apply_chat_template", "get_chat_template")
    )


def ahead(chunks: Iterable[Chunk], prepare: Callable[[Chunk], Callable[[], Result]]) -> Iterator[tuple[Chunk, Result]]:
    """Each chunk with the result of the work prepared for it, in order.

    `prepare` runs in this thread; the function it returns runs in one of two others: while one of them holds Python's
    lock, to cut texts or to count tokens, the tokenizer's own threads encode the texts of the other. At most three
    chunks are in memory.
    """
    pending: deque[tuple[Chunk, Future[Result]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="tokenize") as pool:
        for chunk in chunks:
            pending.append((chunk, pool.submit(prepare(chunk))))
            if len(pending) > THREADS:
                first, result = pending.popleft()
                yield first, result.result()
        for first, result in pending:
            yield first, result.result()


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Exclude all objects that exist now from Python's garbage collection while the rows are counted.

    The libraries have about a million of them, and each collection would walk through all, holding Python's lock. Not
    for a stream that lasts as long as a training run: cycles among these objects are not freed within.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

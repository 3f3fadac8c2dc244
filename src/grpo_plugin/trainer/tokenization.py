"""Prompts as token ids, exactly as the policy is prompted in training, in validation and by vLLM."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from transformers import ProcessorMixin
from trl.data_utils import is_conversational, prepare_multimodal_messages

from grpo_plugin.prompts.chat_ending import ending, tokenized_by_ending
from grpo_plugin.scoring.completions import opening_of, text_of, visible_completion

Row = Mapping[str, Any]
Images = list[Any] | None


TAIL = 64  # tokens at the end of a prompt in which an element may be opened


class PromptTokenizer:
    """Tokenizes the prompts of rows as TRL's `_tokenize_prompts` does, and texts of completions.

    Args:
        tokenize: TRL's: prompts to (token ids, images, …).
        processing_class: the tokenizer, or the processor of a model with images.
        keep_special_tokens: in the text of completions, as reward functions and logs get it.
        template: arguments of `apply_chat_template` that TRL gives: `tools`, `chat_template`, `chat_template_kwargs`.
    """

    def __init__(
        self,
        tokenize: Callable[[list[Any]], Any],
        processing_class: Any,
        keep_special_tokens: bool = False,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenize, self._processing_class, self._template = tokenize, processing_class, template or {}
        self._keep_special_tokens = keep_special_tokens
        self._texts: dict[int, str] = {}  # of single tokens

    def prompts(self, rows: Sequence[Row]) -> tuple[list[list[int]], list[Images]]:
        """Token ids and images of the rows' prompts; a last message of the assistant is continued."""
        if not rows:
            return [], []
        images = [images_of(row) for row in rows]
        prompts = [with_images(row["prompt"], of_row) for row, of_row in zip(rows, images, strict=True)]
        return tokenized_by_ending(prompts, lambda chats: self._tokenize(chats)[0], self._continued), images

    def _continued(self, chats: list[Any]) -> list[list[int]]:
        tokenized = self._processing_class.apply_chat_template(
            conversation=[self._blocks(chat) for chat in chats],
            tokenize=True,
            return_dict=True,
            **ending(chats[0]),
            **self._template,
        )
        ids: list[list[int]] = tokenized["input_ids"]
        return ids

    def _blocks(self, chat: Any) -> Any:
        """The chat with content blocks in place of text for a processor, as TRL gives it."""
        return prepare_multimodal_messages(chat) if isinstance(self._processing_class, ProcessorMixin) else chat

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self._processing_class.decode(token_ids, skip_special_tokens=True)
        return text

    def token(self, token_id: int) -> str:
        """The text of one token, special ones too; a part of a character reads as �."""
        if token_id not in self._texts:
            self._texts[token_id] = self._processing_class.decode([token_id])
        return self._texts[token_id]

    def completions(self, row: Row, prompt_ids: Sequence[int], token_ids: Iterable[Sequence[int]]) -> list[str]:
        """The texts of a row's completions as reward functions get them, after the prompt's part of the message."""
        opening, begun = self._decode(prompt_ids[-TAIL:]), prefill(row["prompt"])
        return [visible_completion(opening, self._decode(ids), begun) for ids in token_ids]

    def opening(self, token_ids: Sequence[int]) -> str:
        """The elements that token ids before a turn of the model leave open, such as `<think>`; "" as a rule."""
        text: str = self._processing_class.decode(token_ids[-TAIL:])  # with special tokens, as episodes have turns
        return opening_of(text)

    def _decode(self, token_ids: Sequence[int]) -> str:
        text: str = self._processing_class.decode(token_ids, skip_special_tokens=not self._keep_special_tokens)
        return text


def prefill(prompt: Any) -> str:
    """The content of a last message of the assistant, which its completion continues; "" for other prompts."""
    if isinstance(prompt, str) or prompt[-1]["role"] != "assistant":
        return ""
    return text_of(prompt[-1])


def images_of(row: Row) -> Images:
    """The images of a row; None if it has none."""
    if row.get("images"):
        return list(row["images"])
    return [row["image"]] if row.get("image") is not None else None


def with_images(prompt: Any, images: Images) -> Any:
    """Chat messages with the images in their place; other prompts as they are."""
    return prompt if images is None else prepare_multimodal_messages(prompt, images=images)


class RewardInputs(NamedTuple):
    """What reward functions take of B completions: prompts, completions (chat messages or text) and columns."""

    prompts: list[Any]
    completions: list[Any]
    columns: dict[str, list[Any]]


def reward_inputs(rows: Sequence[Row], texts: Sequence[str]) -> RewardInputs:
    """What reward functions take of single turns.

    Args:
        rows: (B,) of the completions, all with the keys of the first; empty where there are none.
        texts: (B,) of the completions; each becomes a chat message where its prompt is a chat.
    """
    prompts = [row["prompt"] for row in rows]
    if prompts and is_conversational({"prompt": prompts[0]}):
        return RewardInputs(prompts, [[{"role": "assistant", "content": text}] for text in texts], columns_of(rows))
    return RewardInputs(prompts, list(texts), columns_of(rows))


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of the data as reward functions take them; all rows have those of the first."""
    return {key: [row.get(key) for row in rows] for row in rows[:1] for key in row if key != "prompt"}

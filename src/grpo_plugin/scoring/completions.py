"""What a reward function is given: completions with their prompts, token ids and dataset columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Elements such as <think> that a prompt may end with; names of roles open a message, not a part of the answer.
_OPENED = re.compile(r"<([A-Za-z][\w-]*)>\s*")
_ROLES = frozenset(("assistant", "ai", "bot", "model", "gpt", "system", "user", "human", "s", "bos", "sep"))
_LONGEST_OPENING = 200
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class CompletionBatch:
    """B completions side by side; every list and every column has length B.

    Attributes:
        extras: objects of the trainer (its state, its logging callbacks), and `environments`, which alone has one for
            each completion; never sent to a worker.
        places: of a part of a batch, the rows that its completions had in the whole; None for a whole batch.
        total: completions in the whole batch; None for a whole batch.
    """

    prompts: Sequence[Any]
    completions: Sequence[Any]
    completion_ids: Sequence[Sequence[int]]
    columns: Mapping[str, Sequence[Any]]
    extras: Mapping[str, Any] = field(default_factory=dict)
    places: Sequence[int] | None = None
    total: int | None = None

    def __len__(self) -> int:
        return len(self.completions)

    def take(self, rows: Sequence[int], columns: Iterable[str] | None = None) -> "CompletionBatch":
        """The completions at `rows`: with all columns and extras, or for a worker with the named columns alone."""
        names = self.columns.keys() if columns is None else [name for name in columns if name in self.columns]
        return CompletionBatch(
            [self.prompts[row] for row in rows],
            [self.completions[row] for row in rows],
            [self.completion_ids[row] for row in rows],
            {name: [self.columns[name][row] for row in rows] for name in names},
            extras=self._extras(rows) if columns is None else {},
            places=[self.place(row) for row in rows],
            total=self.total or len(self),
        )

    def _extras(self, rows: Sequence[int]) -> Mapping[str, Any]:
        if "environments" not in self.extras:
            return self.extras
        return {**self.extras, "environments": [self.extras["environments"][row] for row in rows]}

    def place(self, row: int) -> int:
        """The row that completion `row` of this part has in the whole batch."""
        return row if self.places is None else self.places[row]

    def where(self, row: int) -> str:
        """Text that identifies completion `row`: its place, its dataset row, its beginning."""
        dataset_row = f" (dataset row {self.columns['row'][row]})" if "row" in self.columns else ""
        beginning = shorten(text_of(self.completions[row]))
        return f"completion {self.place(row)} of {self.total or len(self)}{dataset_row}, {beginning!r}"


def opening_of(prompt_text: str) -> str:
    """The elements that a prompt opens at its end and leaves open, such as `<think>\n`; "" as a rule.

    Args:
        prompt_text: the prompt as the model sees it, the chat template's generation prompt included.
    """
    tail = prompt_text[-_LONGEST_OPENING:]
    start, end = len(tail), len(tail)
    for found in reversed(list(_OPENED.finditer(tail))):
        if found.end() != start or found[1].lower() in _ROLES:
            break
        start = found.start()
    return tail[start:end]


def visible_completion(prompt_text: str, completion_text: str, prefill: str = "") -> str:
    """The completion as rewards get it: after the part of the assistant's message that the prompt holds.

    A chat template that ends with `<think>\n` makes the model go on within the element, so that its own text has the
    closing tag alone, and no reward that looks for `<think>…</think>` could ever be met.

    Args:
        prompt_text: the prompt's token ids, decoded in the same way as the completion's (with special tokens, or
            without).
        completion_text: what the model wrote.
        prefill: the content of the prompt's last message, if it is the assistant's and is continued.

    >>> visible_completion("<|im_start|>assistant\\n<think>\\n", "2 + 2\\n</think>\\n4")
    '<think>\\n2 + 2\\n</think>\\n4'
    >>> visible_completion("<|im_start|>assistant\\n", "4")
    '4'
    """
    return (prefill or opening_of(prompt_text)) + completion_text


def text_of(message: Any) -> str:
    """The text of one prompt or completion: plain text, chat messages, or messages with image and text parts.

    The texts of several messages are joined by newlines, those of one message's parts directly. A tool's result is not
    part of it: what a tool prints is no answer of the model.

    >>> text_of([{"role": "assistant", "content": "I have 3"}, {"role": "assistant", "content": "4"}])
    'I have 3\\n4'
    """
    if isinstance(message, str):
        return message
    if isinstance(message, Mapping):
        if message.get("role") == "tool":
            return ""
        return text_of(message.get("text", message.get("content")) or "")
    if isinstance(message, Sequence):
        texts = [text_of(part) for part in message]
        if any(isinstance(part, Mapping) and "role" in part for part in message):
            return "\n".join(filter(None, texts))
        return "".join(texts)
    return "" if message is None else str(message)


def guessed_ids(completion: Any) -> list[int]:
    """Zeros, as many as the text is likely to have tokens: for rewards that look at the length."""
    return [0] * (len(text_of(completion)) // _CHARACTERS_PER_TOKEN + 1)


def shorten(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

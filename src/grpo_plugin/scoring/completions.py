"""What a reward function is given: completions with their prompts, token ids and dataset columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CompletionBatch:
    """B completions side by side; every list and every column has length B.

    `extras` are objects of the trainer (its state, its logging callbacks) that are not per completion; they
    never leave the trainer's process. `places` are the rows that a part of a batch had in the whole of `total`.
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
            extras=self.extras if columns is None else {},
            places=[self.place(row) for row in rows],
            total=self.total or len(self),
        )

    def place(self, row: int) -> int:
        """The row that completion `row` of this part has in the whole batch."""
        return row if self.places is None else self.places[row]

    def where(self, row: int) -> str:
        """Words that let a reader find completion `row`: its place, its dataset row, its beginning."""
        dataset_row = f" (dataset row {self.columns['row'][row]})" if "row" in self.columns else ""
        beginning = shorten(text_of(self.completions[row]))
        return f"completion {self.place(row)} of {self.total or len(self)}{dataset_row}, {beginning!r}"


def text_of(message: Any) -> str:
    """The text of one prompt or completion: plain text, chat messages, or messages with image and text parts."""
    if isinstance(message, str):
        return message
    if isinstance(message, Mapping):
        return text_of(message.get("text", message.get("content")) or "")
    if isinstance(message, Sequence):
        return "".join(text_of(part) for part in message)
    return "" if message is None else str(message)


def shorten(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

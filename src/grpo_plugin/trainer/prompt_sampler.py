"""The next prompts: a function of the seed and of how many were taken, the same on every rank."""

from collections.abc import Iterator
from typing import Any

import torch
from datasets import Dataset, IterableDataset

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts import order

Row = dict[str, Any]


class PromptSampler:
    """The endless sequence of prompts, pass after pass over the data.

    A row is identified by its number in the data set; by its position in the stream where there are no numbers.

    Args:
        dataset: rows with a `prompt`.
        shuffle: each pass in an order of its own; otherwise in the data's order.
    """

    def __init__(self, dataset: Dataset | IterableDataset, seed: int, shuffle: bool = True) -> None:
        self.taken = 0
        self._dataset, self._seed, self._shuffle = dataset, seed, shuffle
        self._buffer: dict[int, Row] = {}  # rows of the stream that may still be needed, by position
        self._stream: Iterator[Row] | None = None
        if isinstance(dataset, IterableDataset):
            self._stream = _endless(dataset.shuffle(seed=seed) if shuffle else dataset)

    def take(self, number: int) -> list[int]:
        """The next rows."""
        rows = self.peek(number)
        self.taken += number
        return rows

    def peek(self, number: int) -> list[int]:
        """The rows that the next `take` will give."""
        if self._stream is None:
            rows = order.sequence(len(self._dataset), self._seed, self.taken, number, self._shuffle)
            return [int(row) for row in rows]
        positions = list(range(self.taken, self.taken + number))
        for position in positions:
            if position not in self._buffer:
                self._buffer[position] = next(self._stream)
        return positions

    def row(self, number: int) -> Row:
        """The columns of a row that was taken."""
        if self._stream is not None:
            return self._buffer[number]
        row: Row = self._dataset[number]
        return row

    def forget(self, keep: set[int]) -> None:
        """Drop streamed rows that have been taken, but for those to keep."""
        self._buffer = {number: row for number, row in self._buffer.items() if number >= self.taken or number in keep}

    def state(self) -> dict[str, Any]:
        """The position, for a checkpoint."""
        return {
            "taken": self.taken,
            "rows": self._rows(),
            "buffer": {k: row for k, row in self._buffer.items() if k < self.taken},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the `state` of a checkpoint.

        Raises:
            RecipeError: the data has another number of rows now, so that the order is another.
        """
        if state["rows"] != self._rows():
            raise RecipeError(
                f"prompts.train: {self._rows() or 'a stream of'} rows now, but the checkpoint was saved with "
                f"{state['rows'] or 'a stream of'}; its order of prompts needs the same data."
            )
        if self._stream is not None:
            for _ in range(state["taken"] - self.taken):
                next(self._stream)
        self.taken, self._buffer = state["taken"], dict(state["buffer"])

    def _rows(self) -> int | None:
        """None for a stream."""
        return None if self._stream is not None else len(self._dataset)


def _endless(dataset: IterableDataset) -> Iterator[Row]:
    epoch = 0
    while True:
        dataset.set_epoch(epoch)
        yield from dataset
        epoch += 1


class AccumulationSteps(torch.utils.data.Dataset[None]):
    """A dataset of one empty item per gradient accumulation step: the data loader of transformers' Trainer counts them,
    and the rows come from the prompt sampler."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> None:
        if not 0 <= index < self.number:
            raise IndexError(index)

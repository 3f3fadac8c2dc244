"""One pass over the data for any number of tokenizers: lengths of prompts and answers, and the longest rows."""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.images import file_states
from grpo_plugin.prompts.lengths import ChatCounter, ahead, frozen_heap
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.row_errors import RowErrors
from grpo_plugin.prompts.rows import Prompt, PromptChunk, RowReader
from grpo_plugin.recipe.sources import Source
from grpo_plugin.stats.distribution import Distribution

LONGEST = 5
PREVIEW = 80


@dataclass(frozen=True, order=True)
class LongRow:
    """One of the longest rows: `tokens`, file, row number and how its text begins."""

    tokens: int
    label: str
    row: int
    text: str


@dataclass
class Lengths:
    """Lengths of the data under one tokenizer."""

    prompt: Distribution = field(default_factory=Distribution)
    answer: Distribution = field(default_factory=Distribution)
    longest: list[LongRow] = field(default_factory=list)

    def add(self, chunk: PromptChunk, prompts: Sequence[int], answers: Sequence[int]) -> None:
        self.prompt.add(prompts)
        self.answer.add(answers)
        least = self.longest[-1].tokens if len(self.longest) == LONGEST else -1
        long = (
            LongRow(tokens, chunk.label, prompt.number, _preview(prompt))
            for tokens, prompt in zip(prompts, chunk.prompts, strict=True)
            if tokens > least
        )
        self.longest = heapq.nlargest(LONGEST, [*self.longest, *long], key=lambda row: row.tokens)

    def to_json(self) -> dict[str, Any]:
        longest = [vars(row) for row in self.longest]
        return {"prompt": self.prompt.to_json(), "answer": self.answer.to_json(), "longest": longest}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        prompt, answer = (Distribution.from_json(values[name]) for name in ("prompt", "answer"))
        return cls(prompt, answer, [LongRow(**row) for row in values["longest"]])


@dataclass
class Analysis:
    """The lengths by tokenizer, and the state of the image files that they depend on."""

    lengths: dict[str, Lengths]
    image_files: dict[str, list[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"image_files": self.image_files, "lengths": {n: found.to_json() for n, found in self.lengths.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        lengths = {name: Lengths.from_json(found) for name, found in values["lengths"].items()}
        return cls(lengths, values["image_files"])


def analyse(
    reader: RowReader, sources: Iterable[Source], measures: Mapping[str, Measure], progress: Callable[[int], None]
) -> Analysis:
    """The lengths of all rows under each tokenizer.

    Args:
        reader: turns rows into chat messages as the run would.
        measures: by the tokenizer's name; each with a counter.
        progress: called after each chunk with its number of rows.

    Raises:
        DataError: bad rows, or none at all.
    """
    analysis = Analysis({name: Lengths() for name in measures})
    with frozen_heap():
        for chunk, counted in ahead(_good_rows(reader, sources), lambda chunk: _work(chunk, list(measures.values()))):
            for lengths, (prompts, answers) in zip(analysis.lengths.values(), counted, strict=True):
                lengths.add(chunk, prompts, answers)
            analysis.image_files |= file_states(image for prompt in chunk.prompts for image in prompt.images)
            progress(len(chunk.prompts))
    if not all(lengths.prompt.rows for lengths in analysis.lengths.values()):
        raise DataError("stats: the data has no rows; name files or a split that has some.")
    return analysis


def _good_rows(reader: RowReader, sources: Iterable[Source]) -> Iterator[PromptChunk]:
    row_errors = RowErrors("stats")
    for source in sources:
        for chunk in reader.read(source, row_errors, streaming=True):
            row_errors.check(so_far=True)
            yield chunk


def _work(chunk: PromptChunk, measures: Sequence[Measure]) -> Callable[[], list[tuple[list[int], list[int]]]]:
    prepared = [measure.prepare(chunk) for measure in measures]
    answers = [as_text(p.columns["answer"]) for p in chunk.prompts if p.columns.get("answer") is not None]
    counters = [measure.counter for measure in measures]
    return lambda: [
        (count(), counter.count_texts(answers) if counter else [])
        for count, counter in zip(prepared, counters, strict=True)
    ]


def as_text(value: Any) -> str:
    """An answer or completion as text: messages by their contents, other values as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(message, dict) and "content" in message for message in value):
        return "".join(str(message["content"]) for message in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _preview(prompt: Prompt) -> str:
    contents = [message.get("content") for message in prompt.messages if message["role"] == "user"]
    return " ".join(as_text(contents[-1] if contents else "").split())[:PREVIEW]


def completion_lengths(texts: Iterable[Sequence[str]], counter: ChatCounter) -> Distribution:
    """Lengths of generated completions, given chunk by chunk.

    Raises:
        DataError: no completions.
    """
    distribution = Distribution()
    for _, lengths in ahead(texts, lambda chunk: lambda: counter.count_texts(chunk)):
        distribution.add(lengths)
    if not distribution.rows:
        raise DataError("--completions: there are none; name a file that has some.")
    return distribution

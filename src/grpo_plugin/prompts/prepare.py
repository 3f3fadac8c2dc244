"""One split, from its sources to a table on disk: chat messages, checked, measured, within the length limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.arrow_columns import Columns, as_images, as_json
from grpo_plugin.prompts.images import file_states
from grpo_plugin.prompts.lengths import frozen_heap
from grpo_plugin.prompts.max_length import LengthLimit
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.row_errors import RowError, RowErrors
from grpo_plugin.prompts.rows import Prompt, RowReader
from grpo_plugin.prompts.store import DATA
from grpo_plugin.recipe.sources import Source


@dataclass(frozen=True)
class Preparation:
    """What turns the sources of one field into rows for the trainer."""

    reader: RowReader
    measure: Measure

    @property
    def field(self) -> str:
        return self.measure.field

    def limit(self) -> LengthLimit:
        config = self.reader.config
        return LengthLimit(config.max_length, config.overlong, self.measure.one)

    def write(self, sources: Sequence[Source], folder: Path) -> dict[str, Any]:
        """Write every prompt to `folder`.

        Returns:
            The report: rows kept of each source, the longest prompt in tokens, notes for the user.

        Raises:
            DataError: bad rows, or no rows.
        """
        columns = self._columns(sources)
        limit, row_errors = self.limit(), RowErrors(self.field)
        schema = columns.features(chat=self.measure.chats, images=self.reader.config.image_key is not None).arrow_schema
        kept = [0] * len(sources)
        files: dict[str, list[int]] = {}
        with frozen_heap(), pa.OSFile(str(folder / DATA), "wb") as file, pa.ipc.new_stream(file, schema) as table:
            for position, source in enumerate(sources):
                for prompts in self.prompts(source, limit, row_errors):
                    table.write_batch(self._batch(prompts, columns, schema))
                    kept[position] += len(prompts)
                    files |= file_states(image for prompt in prompts for image in prompt.images)
        row_errors.check()
        if 0 in kept:
            raise DataError(
                f"{self.field}: {limit.note(sources[kept.index(0)].spec)} Nothing is left; raise max_length."
            )
        notes = [note for note in (*self._left_out(columns), limit.note(self.field)) if note]
        return {"rows": kept, "longest": limit.longest, "notes": notes, "image_files": files}

    def prompts(
        self, source: Source, limit: LengthLimit, row_errors: RowErrors, *, streaming: bool = False
    ) -> Iterator[list[Prompt]]:
        """The prompts of a source that are trained on, a chunk at a time."""
        for chunk, tokens in self.measure.all(self.reader.read(source, row_errors, streaming=streaming)):
            limited = (limit.apply(chunk.label, p, n, row_errors) for p, n in zip(chunk.prompts, tokens, strict=True))
            yield [prompt for prompt in limited if prompt is not None]

    def _batch(self, prompts: Sequence[Prompt], columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
        chats = [self.measure.chat(prompt) for prompt in prompts]
        arrays = {"prompt": as_json(chats) if self.measure.chats else pa.array(chats, pa.string())}
        if self.reader.config.image_key:
            arrays["images"] = as_images([prompt.images for prompt in prompts])
        for name in columns.names:
            arrays[name] = columns.encode(name, [prompt.columns.get(name) for prompt in prompts])
        return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)

    def _columns(self, sources: Sequence[Source]) -> Columns:
        columns = Columns()
        for source in sources:
            empty = True
            for chunk in self.reader.chunks(source):
                empty = False
                for row in chunk.rows:
                    with suppress(RowError):  # reported, with its row number, when the rows are written
                        columns.observe(self.reader.columns(row))
            if empty:
                raise DataError(f"{self.field}: {source.spec!r} has no rows; name a file or split that has some.")
        return columns

    def _left_out(self, columns: Columns) -> Iterator[str]:
        if columns.left_out:
            yield f"{self.field}: left out, as they hold bytes inside objects: columns {', '.join(columns.left_out)}."
        if self.reader.replaced:
            names = ", ".join(sorted(self.reader.replaced))
            yield f"{self.field}: left out, as the trainer gives their names a meaning: the data's own columns {names}."

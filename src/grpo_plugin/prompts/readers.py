"""Rows of a file or dataset, a chunk at a time, exactly as written: no type is guessed, no value turned to null.

The loaders of `datasets` are not used for local files: their JSON reader turns date-like text into timestamps, their
CSV reader the answers "None" and "NA" into nulls, and their errors carry no row number.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.errors import DataError
from grpo_plugin.prompts import hub
from grpo_plugin.prompts.sources import Source

CHUNK = 512

Row = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file (or hub split) called `label`; the first is number `first`, counted from 1."""

    label: str
    first: int
    rows: list[Row]


def read(source: Source, *, streaming: bool = False) -> Iterator[Chunk]:
    """All rows of a source in order.

    Raises:
        DataError: a file that cannot be read as what its name says, with file and row number.
    """
    if source.hub:
        yield from _chunks(source.spec, hub.rows(source.hub, streaming=streaming))
    for file in source.files:
        try:
            yield from _chunks(str(file), READERS[file.suffix](file))
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 text ({error}); convert it.") from None


def _chunks(label: str, rows: Iterable[Row]) -> Iterator[Chunk]:
    iterator, first = iter(rows), 1
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield Chunk(label, first, chunk)
        first += len(chunk)


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _record(path, number, _parse(path, number, line))


def _parse(path: Path, number: int, line: str) -> Any:
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:  # a lone half of a surrogate pair is one, and no tokenizer takes it
        raise DataError(f"{path}: line {number} is not JSON of valid text ({error}); mend or remove it.") from None
    return value


def _record(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}: row {number} is {type(value).__name__}, not an object of columns; mend or remove it.")
    return value


def _json_rows(path: Path) -> Iterator[Row]:
    """A list of objects; a file named .json that holds one object per line is read as such."""
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(4096).lstrip()[:1]
    if start != "[":
        yield from _jsonl_rows(path)
        return
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: not JSON ({error}); it must hold a list of objects, or one object per line."
        ) from None
    for number, value in enumerate(values, 1):
        yield _record(path, number, value)


def _csv_rows(path: Path) -> Iterator[Row]:
    """Every value is text, an empty one null."""
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        names = table.fieldnames or []
        if len(set(names)) < len(names):
            raise DataError(f"{path}: two columns of the header have the same name ({', '.join(names)}); rename one.")
        for number, row in enumerate(table, 1):
            if None in row or None in row.values():
                raise DataError(f"{path}: row {number} does not have as many values as the header; mend or remove it.")
            yield {name: value or None for name, value in row.items()}


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=CHUNK):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file ({error}); write it again.") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def expected_rows(sources: Sequence[Source]) -> int | None:
    """About how many rows the sources have, for a progress bar, without reading them; None where nobody knows."""
    counts = [_lines(file) for source in sources for file in source.files]
    return None if None in counts or any(source.hub for source in sources) else sum(filter(None, counts))


def _lines(path: Path) -> int | None:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_metadata(path).num_rows
    if path.suffix == ".json":
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

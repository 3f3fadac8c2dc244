"""Rows of a file or dataset, a chunk at a time, exactly as written: no type is guessed, no value becomes null.

The loaders of `datasets` are not used for local files: their JSON reader turns date-like text into timestamps, their
CSV reader the answers "None" and "NA" into nulls, and their errors carry no row number.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.errors import DataError
from grpo_plugin.prompts import hub
from grpo_plugin.prompts.json_list import items
from grpo_plugin.prompts.task_entries import entry_rows
from grpo_plugin.recipe.sources import Source

CHUNK = 1024
CHUNK_WITH_IMAGES = 64
CHUNK_OF_TASK = 32  # some tasks take half a second to make a row

Row = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Some rows of one file (or hub split) called `label`, with their numbers, counted from 1; of JSONL, the lines'."""

    label: str
    numbers: tuple[int, ...]
    rows: tuple[Row, ...]


def read(source: Source, *, streaming: bool = False, size: int = CHUNK) -> Iterator[Chunk]:
    """All rows of a source in order, `size` to a chunk.

    Raises:
        DataError: a file that cannot be read as what its name says, with file and row number; a task that is not known.
    """
    if source.task:
        yield from _chunks(source.spec, enumerate(entry_rows(source.task), 1), min(size, CHUNK_OF_TASK))
    if source.hub:
        yield from _chunks(source.spec, enumerate(hub.rows(source.hub, streaming=streaming), 1), size)
    for file in source.files:
        try:
            yield from _chunks(str(file), READERS[file.suffix.lower()](file), size)
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 text ({error}); convert it.") from None
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror or error}); check that it is there.") from None


def _chunks(label: str, rows: Iterable[tuple[int, Row]], size: int) -> Iterator[Chunk]:
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, size)):
        yield Chunk(label, *zip(*chunk, strict=True))


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _record(path, number, _parse(path, number, line))


def _parse(path: Path, number: int, line: str) -> Any:
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            _check_text(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: line {number} is not JSON of valid text ({error}); correct or remove it.") from None
    return value


def _check_text(value: Any) -> None:
    """Raise ValueError for half of a surrogate pair, which is not text and which no tokenizer accepts."""
    json.dumps(value, ensure_ascii=False).encode()


def _record(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}: row {number} is {type(value).__name__}, not an object; correct or remove it.")
    return value


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """A list of objects; a file named .json that holds one object per line is read as such."""
    if _begins_with_an_object(path):
        yield from _jsonl_rows(path)
        return
    number = 0
    with path.open(encoding="utf-8-sig") as file:
        try:
            for number, value in enumerate(items(file), 1):
                _check_text(value)
                yield number, _record(path, number, value)
        except DataError:
            raise
        except (ValueError, RecursionError) as error:
            where = f"after row {number} not JSON" if number else "not JSON"
            raise DataError(
                f"{path}: {where} ({error}); it must hold a list of objects, or one object per line."
            ) from None


def _begins_with_an_object(path: Path) -> bool:
    """Whether the first line is an object, and not merely the beginning of one."""
    with path.open(encoding="utf-8-sig") as file:
        if file.read(4096).lstrip()[:1] != "{":
            return False
        file.seek(0)
        first = next(line for line in file if line.strip())
    with suppress(ValueError):
        return isinstance(json.loads(first), dict)
    return False


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Every value is text, an empty one null."""
    csv.field_size_limit(2**31 - 1)
    number = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        try:
            names = table.fieldnames or []
            if len(set(names)) < len(names):
                found = ", ".join(names)
                raise DataError(f"{path}: two columns of the header have the same name ({found}); rename one.")
            for number, row in enumerate(table, 1):
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}: row {number} does not have as many values as the header; correct or remove it."
                    )
                yield number, {name: value or None for name, value in row.items()}
        except csv.Error as error:
            raise DataError(f"{path}: row {number + 1} is not CSV ({error}); correct its quotes.") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow.parquet as pq

    with _parquet_errors(path), pq.ParquetFile(path) as file:
        rows = (row for batch in file.iter_batches(batch_size=CHUNK_WITH_IMAGES) for row in batch.to_pylist())
        yield from enumerate(rows, 1)


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a Parquet file ({error}); write it again.") from None


READERS: dict[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    ".jsonl": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def expected_rows(sources: Sequence[Source]) -> int | None:
    """About how many rows the sources have, for a progress bar, without reading them; None where it is unknown."""
    counts = [_lines(file) for source in sources for file in source.files]
    counts += [source.task.size for source in sources if source.task]
    return None if None in counts or any(source.hub for source in sources) else sum(filter(None, counts))


def _lines(path: Path) -> int | None:
    if path.suffix.lower() == ".parquet":
        return parquet_rows(path)
    if path.suffix.lower() == ".json":
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def parquet_rows(path: Path) -> int:
    """Rows of a Parquet file, from its footer.

    Raises:
        DataError: not a Parquet file.
    """
    import pyarrow.parquet as pq

    with _parquet_errors(path):
        return int(pq.read_metadata(path).num_rows)

"""Role-playing records as RAIDEN has them, turned into rows for `prompts:` with recipes/prompts/role_playing.jinja."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grpo_plugin.config.base import nearest
from grpo_plugin.errors import DataError
from grpo_plugin.prompts.faults import Fault, Faults
from grpo_plugin.prompts.readers import READERS, Row

NEEDED = ("character_profile", "question", "answer")
KNOWN = (*NEEDED, "keywords", "image", "images")
_BETWEEN_KEYWORDS = re.compile(r"[,;，；、\n]")


def write(source: Path, target: Path, show: Callable[[int, Row], None] = lambda number, row: None) -> int:
    """Write the records of `source` as rows to `target`, showing each with its number (counted from 1).

    Args:
        source: .json (a list, or one record per line), .jsonl, .csv or .parquet with the columns `NEEDED`.

    Returns:
        How many records were written.

    Raises:
        DataError: a file that cannot be read, or records that lack something, all with their numbers; then nothing is
            written.
    """
    if source.suffix not in READERS:
        raise DataError(f"{source}: unknown format {source.suffix!r}; known formats: {', '.join(READERS)}.")
    faults, rows = Faults("convert raiden"), []
    for number, record in READERS[source.suffix](source):
        try:
            rows.append(row(record))
            show(number, rows[-1])
        except Fault as fault:
            faults.add(str(source), number, fault)
    faults.check()
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def row(record: Row) -> Row:
    """One record as a row; what is not `KNOWN` is kept in extra_info.

    Raises:
        Fault: a missing or empty profile, question or answer.
    """
    profile, question, answer = (_filled(record, name) for name in NEEDED)
    images = record.get("images") or record.get("image") or []
    return {
        "prompt": question,
        "answer": answer,
        "character_profile": _as_text(profile),
        "keywords": _keywords(record.get("keywords")),
        "images": images if isinstance(images, list) else [images],
        "extra_info": {name: value for name, value in record.items() if name not in KNOWN},
    }


def _filled(record: Row, name: str) -> Any:
    if name not in record:
        close = nearest(name, record)
        raise Fault(f"no {name!r}" + (f" (did you mean {close!r}?)" if close else f" (there are {', '.join(record)})"))
    if not (value := record[name]) or not str(value).strip():
        raise Fault(f"an empty {name!r}")
    return value


def _as_text(profile: Any) -> str:
    """A profile given as an object becomes one line per entry."""
    if isinstance(profile, dict):
        return "\n".join(f"{name}: {_as_text(value)}" for name, value in profile.items())
    if isinstance(profile, list):
        return ", ".join(map(_as_text, profile))
    return str(profile)


def _keywords(value: Any) -> list[str]:
    words = _BETWEEN_KEYWORDS.split(value) if isinstance(value, str) else value or []
    return [word for word in (str(word).strip() for word in words) if word]

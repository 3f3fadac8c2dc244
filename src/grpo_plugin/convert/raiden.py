"""Role-playing records as RAIDEN has them, turned into rows for `prompts:` with recipes/prompts/role_playing.jinja."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grpo_plugin.errors import DataError, suggestion
from grpo_plugin.prompts.readers import READERS, Row, read
from grpo_plugin.prompts.row_errors import RowError, RowErrors
from grpo_plugin.recipe.sources import Source

NEEDED = ("character_profile", "question", "answer")
KNOWN = (*NEEDED, "keywords", "image", "images")
_BETWEEN_KEYWORDS = re.compile(r"[,;，；、\n]")
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "nothing",
}


def write(source: Path, target: Path, show: Callable[[int, Row], None] = lambda number, row: None) -> int:
    """Write the records of `source` as rows to `target`, showing each with its number (counted from 1).

    Args:
        source: .json (a list, or one record per line), .jsonl, .csv or .parquet with the columns `NEEDED`.
        target: .jsonl; its folder is made if there is none.

    Returns:
        How many records were written.

    Raises:
        DataError: a file that cannot be read or written, no records, or records that lack something, all with their
            numbers; then nothing is written.
    """
    _check_names(source, target)
    row_errors, lines = RowErrors("convert raiden"), []
    for number, record in _records(source):
        try:
            made = row(record)
            lines.append(_line(made))
            show(number, made)
        except RowError as error:
            row_errors.add(str(source), number, error)
    row_errors.check()
    if not lines:
        raise DataError(f"{source}: holds no record; expected rows of {', '.join(NEEDED)}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror}); name another target.") from None
    return len(lines)


def _check_names(source: Path, target: Path) -> None:
    if source.suffix.lower() not in READERS:
        raise DataError(f"{source}: unknown format {source.suffix!r}; known formats: {', '.join(READERS)}.")
    if target.exists() and target.samefile(source):
        raise DataError(f"{target}: source and target are the same file; name another target.")
    if target.suffix != ".jsonl":
        raise DataError(f"{target}: rows are written as JSON lines, got {target.suffix!r}; name the target .jsonl.")


def _records(source: Path) -> Iterator[tuple[int, Row]]:
    for chunk in read(Source(str(source), None, None, (source,))):
        yield from zip(chunk.numbers, chunk.rows, strict=True)


def _line(row: Row) -> str:
    try:
        return json.dumps(row, ensure_ascii=False) + "\n"
    except TypeError as error:  # bytes of an image, or a date, from Parquet
        raise RowError(f"a value that JSON lines cannot hold ({error})") from None


def row(record: Row) -> Row:
    """One record as a row; what is not `KNOWN` is kept in extra_info.

    Raises:
        RowError: a missing or empty profile, question or answer, or a value of another kind than its column's.
    """
    profile, question, answer = (_filled(record, name) for name in NEEDED)
    return {
        "prompt": question if _is_chat(question) else _plain("question", question),
        "answer": _plain("answer", answer),
        "character_profile": _as_text(profile),
        "keywords": _keywords(record.get("keywords")),
        "images": [*_images(record.get("image")), *_images(record.get("images"))],
        "extra_info": {name: value for name, value in record.items() if name not in KNOWN},
    }


def _filled(record: Row, name: str) -> Any:
    if name not in record:
        known = suggestion(name, record, f"there are {', '.join(record)}")
        raise RowError(f"no {name!r} ({known})")
    if (value := record[name]) in (None, [], {}) or not str(value).strip():
        raise RowError(f"an empty {name!r}")
    return value


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _is_chat(question: Any) -> bool:
    return isinstance(question, list) and all(isinstance(message, dict) for message in question)


def _plain(name: str, value: Any) -> str:
    if isinstance(value, (list, dict)):
        raise RowError(f"{_kind(value)} as {name!r}, which is text (columns must be turned into rows)")
    return str(value)


def _as_text(profile: Any) -> str:
    """A profile given as an object becomes one line per entry."""
    if isinstance(profile, dict):
        return "\n".join(f"{name}: {_as_text(value)}" for name, value in profile.items())
    if isinstance(profile, list):
        return ", ".join(map(_as_text, profile))
    return str(profile)


def _images(value: Any) -> list[Any]:
    """One image or several, each a path or an object that has one."""
    value = _listed("images", value) if isinstance(value, str) else value
    images = value if isinstance(value, list) else [] if value in (None, "", {}) else [value]
    for image in images:
        if not isinstance(image, (str, dict)) or not image:
            raise RowError(f"{_kind(image)} as an image, which is a path")
    return images


def _keywords(value: Any) -> list[str]:
    """A list, a list in text (as CSV has it), or words with commas between them."""
    if isinstance(value, str):
        value = _listed("keywords", value)
    words = _BETWEEN_KEYWORDS.split(value) if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or any(isinstance(word, (dict, list)) for word in words):
        raise RowError(f"{_kind(value)} as 'keywords', which is a list of words, or words with commas between them")
    return [word for word in (str(word).strip() for word in words if word is not None) if word]


def _listed(name: str, text: str) -> Any:
    """Text in brackets as the list it stands for, in JSON's or Python's words; other text as it is."""
    if not (text.strip().startswith("[") and text.strip().endswith("]")):
        return text
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text.strip())
        except (ValueError, SyntaxError, RecursionError):
            continue
    raise RowError(f"a list as {name!r} that is no JSON")

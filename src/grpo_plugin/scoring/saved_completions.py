"""Completions saved as rows (JSON lines), scored by reward functions."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grpo_plugin.errors import DataError
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.scoring.completions import guessed_ids
from grpo_plugin.scoring.reward_set import RewardSet

COMPLETION_KEYS = ("completion", "response", "output", "text", "messages")
_PROMPT_KEYS = ("prompt", "question", "problem")
# Keys of a row that are no dataset columns.
_NOT_COLUMNS = frozenset((*COMPLETION_KEYS, "prompt", "prompts", "completions", "completion_ids", "scores"))

Row = dict[str, Any]


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines, each with its line number as `row` where it has none.

    Raises:
        DataError: a line is no JSON object, or has no completion.
    """
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield {"row": number, **_row(f"{file}, line {number}", line)}


def score_rows(rewards: RewardSet, rows: Sequence[Row]) -> list[Row]:
    """The rows with `scores`: each function's, the parts of functions that return several, and the weighted `total`.

    Raises:
        RewardError: a function is broken, or asks for a column that the rows lack.
    """
    names = dict.fromkeys(name for row in rows for name in row if name not in _NOT_COLUMNS)
    columns = {name: [row.get(name) for row in rows] for name in names}
    rewards.check_columns(columns)
    completions = [_first(row, COMPLETION_KEYS) for row in rows]
    prompts = [_first(row, _PROMPT_KEYS) or "" for row in rows]
    ids = [row.get("completion_ids") or guessed_ids(text) for row, text in zip(rows, completions, strict=True)]
    scored = rewards.score(prompts, completions, ids, columns)
    named = {
        **dict(zip(rewards.names, scored.by_function, strict=True)),
        **scored.parts,
        "total": totals(scored.by_function, rewards.weights, "sum", 1),
    }
    return [
        {**row, "scores": {name: column[place] for name, column in named.items()}} for place, row in enumerate(rows)
    ]


def _row(where: str, line: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: is no JSON ({error.msg}); write one object per line.") from None
    if not isinstance(row, dict) or not any(key in row for key in COMPLETION_KEYS):
        raise DataError(f"{where}: has no completion; put it under one of {', '.join(COMPLETION_KEYS)}.")
    return row


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if key in row), None)

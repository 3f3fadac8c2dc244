"""Completions of the same held-out prompts before and after training, read from the generation log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Example:
    """One held-out prompt with its completions; `before` is None if there was only one validation."""

    prompt: str
    before: str | None
    after: str
    answer: str | None
    reward_before: float | None
    reward_after: float | None


def examples(folder: Path, count: int = 3) -> list[Example]:
    """The first `count` held-out prompts, with their completions of the first and the last validation in `folder`.

    The completions are the greedy ones if there are any, else the first sample of each prompt.
    """
    files = sorted(folder.glob("validation-*.parquet"))
    if not files:
        return []
    steps = [file.stem.split("-")[1] for file in files]
    last = _first_answers(folder, steps[-1])
    first = _first_answers(folder, steps[0]) if steps[0] != steps[-1] else {}
    return [_example(prompt, first.get(prompt), row) for prompt, row in list(last.items())[:count]]


def _first_answers(folder: Path, step: str) -> dict[str, dict[str, Any]]:
    """Prompt → the first row of it in one validation, among the rows of lowest temperature (0 is greedy)."""
    columns = ["prompt", "completion", "answer", "reward", "temperature"]
    files = sorted(folder.glob(f"validation-{step}-*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read(columns=columns).to_pylist()]
    coldest = min(row["temperature"] for row in rows)
    answers: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["temperature"] == coldest:
            answers.setdefault(row["prompt"], row)
    return answers


def _example(prompt: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Example:
    return Example(
        prompt=prompt,
        before=before["completion"] if before else None,
        after=after["completion"],
        answer=after["answer"],
        reward_before=before["reward"] if before else None,
        reward_after=after["reward"],
    )

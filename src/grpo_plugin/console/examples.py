"""Completions of the same held-out prompts before training and now, read from the validation log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from grpo_plugin.config.prompts import VALIDATION


@dataclass(frozen=True)
class Shown:
    """One completion of an example, after `step` optimizer steps."""

    step: int
    text: str
    reward: float | None


@dataclass(frozen=True)
class Example:
    """One held-out prompt with its completions; `before` is None if there was only one validation."""

    prompt: str
    answer: str | None
    before: Shown | None
    after: Shown


def examples(folder: Path, count: int, name: str = VALIDATION) -> list[Example]:
    """The first `count` prompts of a held-out set, with their completions of its first and last validation in `folder`.

    The completions are the greedy ones if there are any, else the first sample of each prompt.
    """
    files = [file for file in sorted(folder.glob(f"{name}-*.parquet")) if file.stem.rsplit("-", 2)[0] == name]
    if not files or not count:
        return []
    steps = [file.stem.rsplit("-", 2)[1] for file in files]
    last = _first_answers(folder, f"{name}-{steps[-1]}", count)
    first = _first_answers(folder, f"{name}-{steps[0]}", count) if steps[0] != steps[-1] else {}
    return [
        Example(row["prompt"], row["answer"], _shown(first[place]) if place in first else None, _shown(row))
        for place, row in last.items()
    ]


def _first_answers(folder: Path, prefix: str, count: int) -> dict[int, dict[str, Any]]:
    """Place of a prompt in its set → its first row in one validation, among the rows of lowest temperature."""
    columns = ["step", "prompt", "completion", "answer", "reward", "temperature", "row"]
    files = sorted(folder.glob(f"{prefix}-*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read(columns=columns).to_pylist()]
    coldest = min(row["temperature"] for row in rows)
    answers: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["temperature"] == coldest and row["row"] < count:
            answers.setdefault(row["row"], row)
    return answers


def _shown(row: dict[str, Any]) -> Shown:
    return Shown(row["step"], row["completion"], row["reward"])

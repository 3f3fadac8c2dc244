"""The completions of a report: an index of numbers that is read at once, and pages of text that are read when shown."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from grpo_plugin.console.report.sampling import TRAIN, Chosen
from grpo_plugin.rollout.generation_log import COLUMNS, EPISODE_COLUMNS, TOKEN_COLUMNS
from grpo_plugin.scoring.completions import text_of

PAGE = 250  # completions
FACTS = ("split", "finish_reason", "policy_version", "temperature", "score_seconds", "vote")
FACTS_OF_EPISODES = ("turns", "tool_calls", "tool_failures")
NOT_SCORES = COLUMNS.keys() | TOKEN_COLUMNS.keys() | EPISODE_COLUMNS.keys()
INDEX = ("step", "prompt", "reward", "advantage", "length", "validation", "truncated")


class Index:
    """Numbers of each completion by name, and the prompts that `prompt` counts; NaN stands for none."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {name: [] for name in INDEX}
        self.prompts: dict[str, int] = {}

    def add(self, row: dict[str, Any]) -> None:
        length = row.get("tokens")
        values = {
            "step": row["step"],
            "prompt": self.prompts.setdefault(row["prompt"], len(self.prompts)),
            "reward": row["reward"],
            "advantage": row["advantage"],
            "length": len(row["completion"]) if length is None else length,
            "validation": row["split"] != TRAIN,
            "truncated": row["finish_reason"] == "length",
        }
        for name, value in values.items():
            self.columns[name].append(math.nan if value is None else float(value))

    def __len__(self) -> int:
        return len(self.columns["step"])


def pages(chosen: Chosen, index: Index) -> Iterator[list[dict[str, Any]]]:
    """The texts and scores of completions, page by page; `index` is filled on the way."""
    page: list[dict[str, Any]] = []
    for file in chosen.files:
        for row in pq.ParquetFile(file.path).read().to_pylist():
            index.add(row)
            page.append(_text(row))
            if len(page) == PAGE:
                yield page
                page = []
    if page:
        yield page


def _text(row: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one completion; `scores` are those of functions and what they logged."""
    found = {
        "completion": row["completion"],
        "answer": row["answer"],
        "facts": {name: row.get(name) for name in FACTS},  # a log of an earlier release lacks "vote"
        "scores": {name: _finite(value) for name, value in row.items() if name not in NOT_SCORES},
    }
    if row.get("turns") is not None:
        found["facts"] |= {name: row[name] for name in FACTS_OF_EPISODES}
        found["turns"] = [_turn(message) for message in json.loads(row["messages"])]
    if row.get("token_texts"):
        found["tokens"] = {name.removeprefix("token_"): _rounded(row[name]) for name in TOKEN_COLUMNS if row.get(name)}
    return found


def _turn(message: Mapping[str, Any]) -> dict[str, str]:
    """One message of an episode: who says it, and its text, each call of a tool on a line of its own."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    lines = [f"{call['name']}({json.dumps(call['arguments'], ensure_ascii=False)})" for call in calls]
    who = f"tool: {message.get('name')}" if message["role"] == "tool" else str(message["role"])
    return {"who": who, "text": "\n".join(filter(None, [text_of(message.get("content")), *lines]))}


def _rounded(values: Sequence[Any]) -> list[Any]:
    return [round(value, 4) if isinstance(_finite(value), float) else _finite(value) for value in values]


def _finite(value: Any) -> Any:
    """None in place of NaN and infinity, which JSON has not."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""From the `prompts:` block to the datasets the trainer reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo_plugin.config.base import nearest
from grpo_plugin.config.prompts import PromptsConfig, Sources
from grpo_plugin.errors import DataError
from grpo_plugin.prompts.readers import Row, read
from grpo_plugin.prompts.sources import resolve
from grpo_plugin.prompts.wording import Fault, compile_template, word

if TYPE_CHECKING:
    from datasets import Dataset

NAMED = 5


@dataclass(frozen=True)
class PromptData:
    """Rows for the trainer: `prompt` (chat messages), `answer`, and every other column of the data."""

    train: Dataset
    validation: Dataset | None


def load(config: PromptsConfig, *, base_dir: Path, seed: int, tokenizer: Any = None) -> PromptData:
    """Read, word and check every row of the block.

    Raises:
        DataError: missing files or columns, bad rows (with their numbers), an empty split.
        RecipeError: a template that is missing or does not parse.
    """
    train = _load_split("prompts.train", config.train, config, base_dir, tokenizer)
    if config.validation is None:
        return PromptData(train, None)
    return PromptData(train, _load_split("prompts.validation", config.validation, config, base_dir, tokenizer))


def _load_split(field: str, sources: Sources, config: PromptsConfig, base_dir: Path, tokenizer: Any) -> Dataset:
    from datasets import Dataset

    rows = list(_rows(field, sources, config, base_dir))
    if not rows:
        raise DataError(f"{field}: {sources!r} has no rows; name a split that has some.")
    if tokenizer is not None and not getattr(tokenizer, "chat_template", None):
        for row in rows:
            row["prompt"] = "\n\n".join(message["content"] for message in row["prompt"])
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})


def _rows(field: str, sources: Sources, config: PromptsConfig, base_dir: Path) -> Iterator[Row]:
    template = compile_template(config.template, base_dir) if config.template else None
    faults: dict[str, list[int]] = {}
    for source in resolve(field, sources, base_dir):
        for chunk in read(source):
            for number, row in enumerate(chunk.rows, chunk.first):
                try:
                    yield _prompt_row(row, config, template)
                except Fault as fault:
                    faults.setdefault(f"{chunk.label}: {{rows}} {fault}", []).append(number)
    if faults:
        raise DataError(f"{field}: " + "; ".join(text.format(rows=_numbers(n)) for text, n in faults.items()) + ".")


def _prompt_row(row: Row, config: PromptsConfig, template: Any) -> Row:
    prompt = word(_value(row, config.prompt_key, "prompt_key"), row, template, config.system)
    answer = {"answer": _value(row, config.answer_key, "answer_key")} if config.answer_key else {}
    return {**row, "prompt": prompt, **answer}


def _value(row: Row, key: str, field: str) -> Any:
    if key not in row:
        close = nearest(key, row) or ", ".join(row)
        raise Fault(f"has no column {key!r} (prompts.{field}); the nearest is {close!r}")
    if row[key] is None:
        raise Fault(f"has a null {key!r}")
    return row[key]


def _numbers(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    named = ", ".join(map(str, numbers[:NAMED]))
    return f"rows {named}" + (f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else "")

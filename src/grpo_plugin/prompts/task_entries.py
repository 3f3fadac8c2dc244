"""Rows that reasoning-gym's tasks make, and the entry that each carries to its verifier.

An entry travels as JSON text in the column `reasoning_gym`. It is not made again where it is verified: six of the tasks
of version 0.1.25 make other questions in another process, as they depend on the order of a set. JSON has no tuples and
no keys but text, which verifiers compare with (arc_agi), so that both are marked.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from grpo_plugin.compat import reasoning_gym_package
from grpo_plugin.errors import DataError, suggestion
from grpo_plugin.recipe.sources import Task

COLUMN = "reasoning_gym"
_TUPLE, _ITEMS = "__tuple__", "__items__"
_MIXTURE = "composite"  # its own; ours is a list of sources with weights
_BESIDE = ("size", "seed")  # said beside the options


def entry_rows(task: Task) -> Iterator[dict[str, Any]]:
    """Rows with `question`, `answer` (null where no single answer is right), `task`, and the entry as text.

    Raises:
        DataError: there is no such task, or an option is not known or not allowed.
    """
    made = _made(task.name, _json(task.options), task.seed, task.size)
    for place in range(task.size):
        entry = made[place]
        yield {
            "question": entry["question"],
            "answer": None if entry["answer"] is None else str(entry["answer"]),
            "task": task.name,
            COLUMN: entry_text(task.name, task.options, entry),
        }


def entry_text(task: str, options: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """An entry, the task that made it and its options as text; `read_entry` gives back what was given."""
    return _json({"task": task, "options": dict(options), "entry": dict(entry)})


def read_entry(text: str) -> tuple[str, Any, dict[str, Any]]:
    """The name of the task that made an entry, the task with its verifier `score_answer(answer, entry)`, and the entry.

    Raises:
        DataError: the task is not known, or its options are not.
        KeyError, ValueError: the text is no entry.
    """
    values = _unmarked(json.loads(text))
    return values["task"], _made(values["task"], _json(values["options"]), 0, 1), values["entry"]


@lru_cache(maxsize=64)
def _made(name: str, options: str, seed: int, size: int) -> Any:
    """The task with its options, as reasoning-gym makes it."""
    where = f"reasoning_gym:{name}"
    try:
        package = reasoning_gym_package.load()
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise DataError(
            f"{where}: the package reasoning-gym cannot be imported ({error}); {reasoning_gym_package.INSTALL}."
        ) from error
    names = sorted(set(DATASETS) - {_MIXTURE})
    if name not in names:
        raise DataError(f"{where}: there is no such task; {suggestion(name, names)}")
    values = _unmarked(json.loads(options))
    known = [field.name for field in dataclasses.fields(DATASETS[name][1]) if field.name not in _BESIDE]
    for option in values:
        if option in _BESIDE:
            raise DataError(f"{where}: {option!r} stands among the options; write it beside them.")
        if option not in known:
            raise DataError(f"{where}: unknown option {option!r}; {suggestion(option, known)}")
    try:
        return package.create_dataset(name, seed=seed, size=size, **values)
    except Exception as error:  # an assertion of the task, or whatever a value of another type leads to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: its options {values} are refused ({reason}); correct them.") from error


def _json(value: Any) -> str:
    return json.dumps(_marked(value), ensure_ascii=False)


def _marked(value: Any) -> Any:
    """The value with tuples, and dicts whose keys are not all text, as objects of one key that say so."""
    if isinstance(value, tuple):
        return {_TUPLE: [_marked(item) for item in value]}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value):
            return {key: _marked(item) for key, item in value.items()}
        return {_ITEMS: [[_marked(key), _marked(item)] for key, item in value.items()]}
    return value


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_TUPLE}:
        return tuple(_unmarked(item) for item in value[_TUPLE])
    if value.keys() == {_ITEMS}:
        return {_unmarked(key): _unmarked(item) for key, item in value[_ITEMS]}
    return {key: _unmarked(item) for key, item in value.items()}

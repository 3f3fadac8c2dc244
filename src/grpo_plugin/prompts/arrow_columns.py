"""Columns of any shape in an Arrow table, each value as it was.

Arrow has one type per column, and adds to every object of a column the keys of all the others. What does not fit that
(objects, lists, mixed types) is kept as JSON, which `datasets` turns back into values on access.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from datasets import Features, Image, Json, List, Value

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.images import Picture
from grpo_plugin.prompts.readers import Row

NATIVE = {"bool": "bool", "int": "int64", "float": "float64", "text": "string", "bytes": "binary"}
_KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "text", bytes: "bytes"}


class Columns:
    """The columns of a table: `observe` collects the types of all rows, `encode` then converts values to Arrow."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}

    def observe(self, row: Row) -> None:
        for name, value in row.items():
            kinds = self._kinds.setdefault(name, set())
            if value is not None:
                kinds.add(_kind(value))

    @property
    def names(self) -> list[str]:
        return [name for name, kinds in self._kinds.items() if not _holds_bytes(kinds)]

    @property
    def left_out(self) -> list[str]:
        """Columns with bytes inside objects or beside other types, which no one type can hold."""
        return [name for name, kinds in self._kinds.items() if _holds_bytes(kinds)]

    def features(self, *, chat: bool, images: bool) -> Features:
        """The types of the table: `prompt`, `images` where there are any, and the columns."""
        features = {"prompt": Json() if chat else Value("string")}
        if images:
            features["images"] = List(Image())
        return Features(features | {name: self._feature(name) for name in self.names})

    def _feature(self, name: str) -> Any:
        kinds = self._kinds[name]
        if not kinds or "big" in kinds:
            return Value("string")
        native = NATIVE.get(next(iter(kinds))) if len(kinds) == 1 else None
        return Value(native) if native else Json()

    def encode(self, name: str, values: Sequence[Any]) -> pa.Array:
        """The values of one column as Arrow."""
        feature = self._feature(name)
        if isinstance(feature, Json):
            _check_integers(name, values)
            return as_json(values)
        if "big" in self._kinds[name]:
            values = [None if value is None else str(value) for value in values]
        return pa.array(values, pa.type_for_alias(feature.dtype))


def as_json(values: Sequence[Any]) -> pa.Array:
    """Values as an Arrow column of JSON; nulls stay nulls, what JSON does not know becomes text."""
    texts = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    return pa.array(texts, pa.string()).cast(pa.json_())


def as_images(rows: Sequence[Sequence[Picture]]) -> pa.Array:
    """Lists of encoded images as `datasets` stores them."""
    lists = [[{"bytes": picture.data, "path": None} for picture in pictures] for pictures in rows]
    return pa.array(lists, pa.list_(Image().pa_type))


def _kind(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "nested bytes" if _holds(value, bytes) else "nested"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "big"
    return _KINDS.get(type(value), "other")


def _holds_bytes(kinds: set[str]) -> bool:
    return "nested bytes" in kinds or ("bytes" in kinds and len(kinds) > 1)


def _check_integers(name: str, values: Sequence[Any]) -> None:
    """`datasets` cannot read integers over 64 bits back from JSON."""
    if any(_holds(value, int, lambda number: not -(2**63) <= number < 2**64) for value in values):
        raise DataError(f"column {name!r} holds an integer over 64 bits in a list or object; write it as text.")


def _holds(value: Any, kind: type, which: Callable[[Any], bool] = lambda _: True) -> bool:
    """Whether a value, or anything nested in it, is of `kind` and satisfies `which`."""
    if isinstance(value, (list, dict)):
        return any(_holds(inner, kind, which) for inner in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, kind) and which(value)

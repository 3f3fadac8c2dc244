"""A recipe in the making: what was read from the other configuration, what became of it, what was left and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Source:
    """The other configuration, flat: every key with its value, and which of them its author wrote.

    Reading a key accounts for it; at the end `unread` must be empty but for keys that do not exist.
    """

    values: Mapping[str, Any]
    written: frozenset[str]
    read: set[str] = field(default_factory=set)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return self.values[key]

    @property
    def unread(self) -> list[str]:
        return sorted(self.written - self.read)


@dataclass(frozen=True)
class Left:
    """A key that has no counterpart, or none that is needed."""

    key: str
    value: Any
    reason: str


@dataclass
class Draft:
    """The recipe, by dotted key in the order it is written; of each the key it came from, or why it is there."""

    source: Source
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)

    def put(self, key: str, value: Any, origin: str = "") -> None:
        """Set a dotted key of the recipe; None sets nothing."""
        if value is not None:
            self.values[key] = value
            self.origins[key] = origin

    def move(self, origin: str, key: str) -> None:
        """Take a value over as it is."""
        self.put(key, self.source[origin], origin)

    def leave(self, origin: str, reason: str) -> None:
        """Account for a key without counterpart; it is listed if the author wrote it."""
        value = self.source[origin]
        if origin in self.source.written:
            self.left.append(Left(origin, value, reason))

    def leave_all(self, prefix: str, reason: str) -> None:
        """Account for every key under `prefix` that the author wrote, known or not."""
        for key in sorted(self.source.written):
            if key.startswith(f"{prefix}."):
                self.source.read.add(key)
                self.left.append(Left(key, self.source.values.get(key), reason))

    def recipe(self) -> dict[str, Any]:
        """The recipe as nested mappings."""
        nested: dict[str, Any] = {}
        for key, value in self.values.items():
            block, _, inner = key.partition(".")
            if inner:
                nested.setdefault(block, {})[inner] = value
            else:
                nested[key] = value
        return nested


def flatten(values: Mapping[str, Any], open_keys: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; a mapping under one of `open_keys` is a leaf."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in open_keys:
            yield from flatten(value, open_keys, f"{key}.")
        else:
            yield key, value

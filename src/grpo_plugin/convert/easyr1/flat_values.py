"""A configuration as dotted keys: each with its value, and with its spelling in the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Overridden:
    """A key, as written, without effect, because the key `by` sets the same value."""

    key: str
    value: Any
    by: str


@dataclass(frozen=True)
class Source:
    """A configuration over the defaults of the trainer it was written for.

    Attributes:
        values: by dotted key, under its newest name.
        spelling: for the keys that the author set, the dotted key as written.
        overridden: keys without effect, because another spelling of the same key or a later override is used.
    """

    values: Mapping[str, Any]
    spelling: Mapping[str, str]
    overridden: tuple[Overridden, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def under(self, prefix: str) -> list[str]:
        """The keys that the author set at or below `prefix`."""
        return [key for key in self.spelling if key == prefix or key.startswith(f"{prefix}.")]

    def mapping(self, prefix: str) -> dict[str, Any]:
        """What the author set below `prefix`, nested as it was."""
        return nest({key.removeprefix(f"{prefix}."): self.values[key] for key in self.under(prefix) if key != prefix})

    def names(self, keys: tuple[str, ...]) -> list[str]:
        """Those of `keys` that the author set, as written, each once."""
        return list(dict.fromkeys(self.spelling[key] for key in keys if key in self.spelling))

    def name(self, key: str) -> str:
        """A key as written, or as it is called now."""
        return self.spelling.get(key, key)

    @property
    def written(self) -> set[str]:
        return {*self.spelling.values(), *(one.key for one in self.overridden)}


def flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; an empty mapping is one."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested mappings."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *path, leaf = key.split(".")
        place = nested
        for name in path:
            place = place.setdefault(name, {})
        place[leaf] = value
    return nested

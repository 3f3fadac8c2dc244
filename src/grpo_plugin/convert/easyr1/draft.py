"""A recipe being written: its values, the keys they came from, and the keys not converted, with reasons.

Every key of the configuration appears in the recipe's text: beside the key it was converted to, or at the end.
`unexplained` lists those that would be missing.
"""

from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.convert.easyr1.flat_values import Source, nest

_NEVER = object()


@dataclass(frozen=True)
class Origin:
    """The origin of a recipe's value: keys of the configuration, and a note."""

    keys: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Dropped:
    """A key, as written, that has no counterpart."""

    key: str
    value: Any
    reason: str


@dataclass
class Draft:
    """The recipe, by dotted key in the order it is written.

    Attributes:
        origins: of each value, and of those mappings that a key of their own switches on.
        dropped: keys that have no counterpart here.
        same: keys of the other configuration whose value is what happens here without a key.
        remarks: sentences on the whole.
    """

    source: Source
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, *origins: str, note: str = "") -> None:
        """Set a dotted key of the recipe; None: what `origins` ask for happens here without a key."""
        if value is None:
            self.same += origins
        else:
            self.values[key] = value
            self.origins[key] = Origin(origins, note)

    def move(self, origin: str, key: str) -> None:
        """Set `key` of the recipe to the value of `origin`, unchanged."""
        self.put(key, self.source[origin], origin)

    def put_mapping(self, key: str, *origins: str) -> None:
        """Record that the mapping `key` is there because of `origins`; its values are set one by one."""
        self.origins[key] = Origin(origins, "")

    def drop(self, origin: str, reason: str, *, same_at: Any = _NEVER) -> None:
        """Record why a key is not converted; with the value `same_at` it needs no counterpart."""
        if self.source[origin] == same_at:
            self.same.append(origin)
        elif origin in self.source.spelling:
            self.dropped.append(Dropped(self.source.spelling[origin], self.source[origin], reason))

    def drop_under(self, prefix: str, reason: str) -> None:
        """Record one reason for every key that the author set at or below `prefix`."""
        for key in self.source.under(prefix):
            self.drop(key, reason)

    def mentions(self, key: str) -> bool:
        """Whether a value of the recipe came from `key`."""
        return any(key in origin.keys for origin in self.origins.values())

    @property
    def unneeded(self) -> dict[str, Any]:
        """The keys, as written, that have the same effect here without a key, with their values."""
        dropped = {one.key for one in self.dropped}
        keys = [key for key in self.same if key in self.source.spelling and not self.mentions(key)]
        names = {self.source.spelling[key]: self.source[key] for key in keys}
        return {name: value for name, value in names.items() if name not in dropped}

    @property
    def unexplained(self) -> list[str]:
        """The keys, as written, that nothing in this draft mentions."""
        explained = {name for origin in self.origins.values() for name in self.source.names(origin.keys)}
        explained |= {one.key for one in self.dropped} | self.unneeded.keys()
        return sorted(self.source.written - explained)

    def recipe(self) -> dict[str, Any]:
        """The recipe as nested mappings."""
        return nest(self.values)

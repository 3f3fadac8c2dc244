"""A recipe in the making: its values, the keys that each came from, and what was left and why.

Whatever the author set is in the text: beside the key it became, or at the end. `unexplained` is how that is kept.
"""

from dataclasses import dataclass, field
from typing import Any

from grpo_plugin.convert.easyr1.flat_values import Source, nest

_NEVER = object()


@dataclass(frozen=True)
class Origin:
    """Where a value of the recipe comes from: keys of the other configuration, and what else is to know."""

    keys: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Left:
    """A key, as written, that has no counterpart."""

    key: str
    value: Any
    reason: str


@dataclass
class Draft:
    """The recipe, by dotted key in the order it is written.

    Attributes:
        origins: of each value, and of those mappings that a key of their own switches on.
        same: keys of the other configuration whose value is what happens here without a key.
        remarks: sentences on the whole.
    """

    source: Source
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, *origins: str, note: str = "") -> None:
        """Set a dotted key of the recipe; None says that what `origins` ask for happens without a key."""
        if value is None:
            self.same += origins
        else:
            self.values[key] = value
            self.origins[key] = Origin(origins, note)

    def move(self, origin: str, key: str) -> None:
        """Take a value over as it is."""
        self.put(key, self.source[origin], origin)

    def head(self, key: str, *origins: str) -> None:
        """Say which keys switch on the mapping `key`, whose values are put by themselves."""
        self.origins[key] = Origin(origins, "")

    def leave(self, origin: str, reason: str, *, same_at: Any = _NEVER) -> None:
        """Say why a key has no counterpart; at the value `same_at` none is needed."""
        if self.source[origin] == same_at:
            self.same.append(origin)
        elif origin in self.source.spelling:
            self.left.append(Left(self.source.spelling[origin], self.source[origin], reason))

    def leave_under(self, prefix: str, reason: str) -> None:
        """Say why nothing that the author set at or below `prefix` has a counterpart."""
        for key in self.source.under(prefix):
            self.leave(key, reason)

    def mentions(self, key: str) -> bool:
        """Whether a value of the recipe came from `key`."""
        return any(key in origin.keys for origin in self.origins.values())

    @property
    def unneeded(self) -> dict[str, Any]:
        """What the author set and the recipe need not say, as written."""
        left = {one.key for one in self.left}
        keys = [key for key in self.same if key in self.source.spelling and not self.mentions(key)]
        names = {self.source.spelling[key]: self.source[key] for key in keys}
        return {name: value for name, value in names.items() if name not in left}

    @property
    def unexplained(self) -> list[str]:
        """The keys, as written, that nothing in this draft speaks of."""
        explained = {name for origin in self.origins.values() for name in self.source.names(origin.keys)}
        explained |= {left.key for left in self.left} | self.unneeded.keys()
        return sorted(self.source.written - explained)

    def recipe(self) -> dict[str, Any]:
        """The recipe as nested mappings."""
        return nest(self.values)

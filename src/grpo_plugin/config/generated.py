"""Sources that a package makes instead of reading them: tasks of reasoning-gym, written `reasoning_gym:chain_sum`."""

import zlib
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field

PREFIX = "reasoning_gym:"
SIZE, SEED = 500, 0
"""Where a recipe names none; 500 is reasoning-gym's own."""
_FAR = 10**9

Size = Annotated[int | None, Field(ge=1, le=10**8, description="Rows to make of a `reasoning_gym:` task (500).")]
Seed = Annotated[
    int | None,
    Field(ge=0, lt=2**31, description="Which rows of a `reasoning_gym:` task are made (0; held-out ones far from it)."),
]
Options = Annotated[dict[str, Any] | None, Field(description="Options of a `reasoning_gym:` task, by its own names.")]


class Entry(Protocol):
    """A source as the `prompts:` block has it."""

    source: str
    size: int | None
    seed: int | None
    options: dict[str, Any] | None

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        """The same entry with other values."""


Known = TypeVar("Known", bound=Entry)


def is_generated(source: str) -> bool:
    """Whether the text of a source names a task instead of files or a dataset."""
    return source.startswith(PREFIX)


def held_out_seed(seed: int | None, name: str) -> int:
    """The seed of a held-out set that has none: so far from the training rows' that no row is in both.

    Row i of a task is made from seed + i, so that neighbouring seeds share all rows but one.
    """
    return (SEED if seed is None else seed) + _FAR + zlib.crc32(name.encode()) % _FAR


def filled(sources: Sequence[Known], size: int | None, seed: int | None, options: dict[str, Any] | None) -> list[Known]:
    """The sources, each task with what it does not say itself from the block or the defaults."""
    return [_filled(entry, size, seed, options) if is_generated(entry.source) else entry for entry in sources]


def _filled(entry: Known, size: int | None, seed: int | None, options: dict[str, Any] | None) -> Known:
    values = {
        "size": next(value for value in (entry.size, size, SIZE) if value is not None),
        "seed": next(value for value in (entry.seed, seed, SEED) if value is not None),
        "options": options or {} if entry.options is None else entry.options,
    }
    filled_entry: Known = entry.model_copy(update=values)
    return filled_entry


def check_given(where: str, sources: Sequence[Entry], **given: Any) -> None:
    """Raise ValueError where `size`, `seed` or `options` are given and no source is made by a task."""
    named = [name for name, value in given.items() if value is not None]
    if named and not any(is_generated(entry.source) for entry in sources):
        raise ValueError(
            f"{where}{named[0]!r} is for tasks that are made, and no source is one; write 'reasoning_gym:chain_sum', "
            f"or remove {named[0]!r}"
        )


def check_apart(train: Sequence[Entry], held_out: Sequence[Entry], name: str) -> None:
    """Raise ValueError where rows of a held-out set are trained on: the same task and options, seeds that overlap."""
    for entry in held_out:
        for trained in train:
            if is_generated(entry.source) and _overlap(entry, trained):
                assert trained.seed is not None and trained.size is not None
                last = trained.seed + trained.size
                raise ValueError(
                    f"seed {entry.seed} of {entry.source} in {name!r} makes rows that are trained on, whose seeds are "
                    f"{trained.seed} to {last - 1}; give {last} or more, or leave it out"
                )


def _overlap(one: Entry, other: Entry) -> bool:
    if (one.source, one.options) != (other.source, other.options):
        return False
    assert one.seed is not None and one.size is not None and other.seed is not None and other.size is not None
    return one.seed < other.seed + other.size and other.seed < one.seed + one.size

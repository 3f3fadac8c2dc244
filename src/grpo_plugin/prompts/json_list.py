"""The items of a JSON list, one at a time, so that a file of any size takes little memory."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

BLOCK = 1 << 20

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def items(file: TextIO) -> Iterator[Any]:
    """The items of the JSON list in a file.

    Raises:
        ValueError: not one JSON list, or one that does not end.
    """
    text = _Text(file)
    text.expect("[")
    if text.next() == "]":
        text.expect("]")
    else:
        yield text.value()
        while text.expect(",]") == ",":
            yield text.value()
    if text.next():
        raise ValueError("something follows the list")


class _Text:
    """The text of a file, read block by block, with a position in it."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at = file, "", 0

    def next(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def expect(self, characters: str) -> str:
        """Read one of some characters; ValueError for another one."""
        found = self.next()
        if not found or found not in characters:
            raise ValueError(f"expected {' or '.join(characters)}, got {found or 'the end'}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Read a value. Only objects are sure to be complete: a number could be cut off at the end of a block."""
        self.next()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError:
                if not self._grow():
                    raise

    def _grow(self) -> bool:
        """Read more, twice as much each time, so that an item of many blocks is not parsed once for each block."""
        more = self._file.read(max(BLOCK, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

"""The items of a JSON list, one at a time, so that a file of any size takes little memory."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

BLOCK = 1 << 20

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def items(file: TextIO) -> Iterator[Any]:
    """What stands in the list that a file holds.

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
    """A file's text from where reading stands."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at = file, "", 0

    def next(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def expect(self, characters: str) -> str:
        """Take one of some characters."""
        found = self.next()
        if not found or found not in characters:
            raise ValueError(f"expected {' or '.join(characters)}, got {found or 'the end'}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Take an object; other values could be cut off at the end of a block, and are no rows anyway."""
        self.next()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError:
                if not self._grow():
                    raise

    def _grow(self) -> bool:
        """Read on, twice as far each time, so that an item of many blocks is not parsed once for each."""
        more = self._file.read(max(BLOCK, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

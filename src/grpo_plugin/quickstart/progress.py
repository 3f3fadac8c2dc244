"""One line that shows how much of a task is done."""

import time
from types import TracebackType
from typing import Self, TextIO


class Progress:
    """`title 43 %`, rewritten in place on a terminal; elsewhere one line when it starts and one when it ends."""

    def __init__(self, stream: TextIO, title: str) -> None:
        self.stream, self.title = stream, title
        self.percent = -1

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self(0.0)
        return self

    def __call__(self, share: float) -> None:
        """Show `share`, in [0, 1], if it is another whole per cent."""
        percent = int(100 * share)
        if percent == self.percent:
            return
        self.percent = percent
        if self.stream.isatty():
            self._write(f"\r{self.title} {percent:3d} %")
        elif percent == 0:
            self._write(f"{self.title}\n")

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if self.stream.isatty():
            self._write("\n")
        if kind is None:
            self._write(f"quickstart: made in {time.monotonic() - self.began:.0f} s\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

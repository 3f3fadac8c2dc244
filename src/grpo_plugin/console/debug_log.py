"""`output_dir/debug.log`: what the libraries print; opened here, and kept from growing without end."""

import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from grpo_plugin.errors import RecipeError

BOUND = 64 * 2**20  # bytes


class DebugLog:
    """The processes of a run append to the file; what is over BOUND moves to debug.log.1, in place of what is there."""

    def __init__(self, output_dir: Path) -> None:
        self.path = output_dir / "debug.log"
        self.earlier = output_dir / "debug.log.1"

    def open(self, *, append: bool) -> int:
        """A descriptor that appends; the file is emptied first unless `append`, which a resumed run sets.

        Raises:
            RecipeError: output_dir cannot be made or written, or its disk is full.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, flags, 0o644)
            size = os.fstat(descriptor).st_size
            os.write(descriptor, b"\n")  # on a full disk a file can be opened, and takes no byte
            os.ftruncate(descriptor, size)
            return descriptor
        except OSError as error:
            folder = str(self.path.parent)
            raise RecipeError(
                f"output_dir: {folder!r} cannot be written ({error.strerror}); free space, or name another folder."
            ) from None

    def keep_bounded(self) -> None:
        """Move the content to debug.log.1 when there is more than BOUND; the writers go on with an empty file.

        They hold the file open, so that it is copied and cut, not renamed; on a full disk it is cut alone.
        """
        with suppress(OSError):
            if self.path.stat().st_size <= BOUND:
                return
            self.earlier.unlink(missing_ok=True)
            with suppress(OSError):
                shutil.copyfile(self.path, self.earlier)
            os.truncate(self.path, 0)

    def keep_bounded_in_background(self) -> None:
        """As `keep_bounded`, once a second until this process ends: for a run that no launcher of ours watches."""

        def watch() -> None:
            while True:
                time.sleep(1.0)
                self.keep_bounded()

        threading.Thread(target=watch, name="debug.log", daemon=True).start()

    def ending(self, lines: int = 20) -> str:
        """`the end of PATH:` and the last lines that are not empty."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return f"the end of {self.path}:\n" + "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

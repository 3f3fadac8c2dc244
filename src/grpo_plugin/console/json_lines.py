"""A file with one JSON object per line, such as `metrics.jsonl`: a line for each logged step."""

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.files import atomic_write

METRICS, ALARMS = "metrics.jsonl", "alarms.jsonl"  # in the folder of a run


class JsonLines:
    """`path` holds rows in the order of their `step`; a row is added with a single write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; numbers that are not finite become null, since JSON has none.

        Raises:
            OSError: it cannot be written whole, and is not there.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = _line(row).encode()
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(target).st_size
            if os.write(target, line) < len(line):
                os.ftruncate(target, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(target)

    def read(self) -> list[dict[str, Any]]:
        """All rows; none if there is no file. A last line that a killed process left unfinished is skipped."""
        if not self.path.exists():
            return []
        *whole, _ = self.path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in whole]

    def keep_until(self, step: int) -> list[dict[str, Any]]:
        """Remove the rows after `step`, which a resumed run writes again; returns those that stay."""
        rows = [row for row in self.read() if row["step"] <= step]
        if self.path.exists():
            with atomic_write(self.path) as file:
                file.write_text("".join(map(_line, rows)), encoding="utf-8")
        return rows


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({key: _finite(value) for key, value in row.items()}, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

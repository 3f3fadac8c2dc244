"""The logged steps of a run as alarms look at them: the figures at first, now, and in a row."""

from collections import deque
from collections.abc import Mapping
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]


class History:
    """Keeps the last `size` rows; a quarter of `window` is what a mean "at first" or "now" is over."""

    def __init__(self, window: int, size: int) -> None:
        self.quarter = max(1, window // 4)
        self._rows: deque[Row] = deque(maxlen=size)
        self._first: dict[str, list[float]] = {}
        self._steps: deque[int] = deque([0], maxlen=size + 1)

    def add(self, row: Row) -> None:
        self._steps.append(int(row.get("step", self._steps[-1] + 1)))
        self._rows.append(row)
        for name, value in row.items():
            if isinstance(value, int | float):
                first = self._first.setdefault(name, [])
                if len(first) < self.quarter:
                    first.append(float(value))

    def last(self, name: str) -> float | None:
        """The value of the newest row."""
        return self._rows[-1].get(name)

    def values(self, name: str, count: int) -> list[float] | None:
        """The values of the last `count` rows that have the metric; None where they are fewer."""
        found = [float(row[name]) for row in self._rows if row.get(name) is not None]
        return found[-count:] if len(found) >= count else None

    def now(self, name: str) -> float | None:
        """The mean of the newest quarter of a window; None where the newest row lacks the metric."""
        values = self.values(name, self.quarter)
        return None if values is None or self.last(name) is None else fmean(values)

    def steps_per_row(self) -> float:
        """The mean number of optimizer steps between the rows of the newest quarter of a window."""
        steps = list(self._steps)[-self.quarter - 1 :]
        return max(1.0, (steps[-1] - steps[0]) / (len(steps) - 1))

    def at_first(self, name: str) -> float | None:
        """The mean of the first quarter of a window, or since the last `rebase`; None where there are fewer."""
        values = self._first.get(name, [])
        return fmean(values) if len(values) >= self.quarter else None

    def rebase(self, name: str) -> None:
        """From here on `at_first` is what `now` is."""
        if values := self.values(name, self.quarter):
            self._first[name] = values

    def names(self, prefix: str, suffix: str = "") -> list[str]:
        """The metrics of the newest row with this beginning and end."""
        return [name for name in self._rows[-1] if name.startswith(prefix) and name.endswith(suffix)]

"""Looks at each logged step and returns the alarms that are due."""

from dataclasses import dataclass
from typing import Any

from grpo_plugin.config.alarms import Alarms
from grpo_plugin.console.alarms.history import History, Row
from grpo_plugin.console.alarms.kinds import KINDS, Finding


@dataclass(frozen=True)
class Alarm:
    """One line: `kind` is its key in `alarms:`."""

    step: int
    kind: str
    figure: str
    remedy: str

    def __str__(self) -> str:
        return f"alarm at step {self.step}: {self.figure}. Try: {self.remedy}."


class Detector:
    """Alarms of one run; an alarm that goes on comes after one window, then after two, four, eight …"""

    def __init__(self, config: Alarms) -> None:
        self._limits = {kind: limit for kind in KINDS if (limit := getattr(config, kind)) is not None}
        longest = max(config.window, config.reward_stuck or 0, config.zero_gradient or 0)
        self._history, self._window = History(config.window, longest), config.window
        self._logged = 0
        self._next: dict[str, tuple[int, int]] = {}  # kind -> (first row at which it may come again, rows until then)

    def observe(self, row: Row) -> list[Alarm]:
        """The alarms of a logged step; `row` has its `step` and its metrics."""
        self._history.add(row)
        self._logged += 1
        return [alarm for kind, limit in self._limits.items() if (alarm := self._alarm(kind, limit, int(row["step"])))]

    def _alarm(self, kind: str, limit: Any, step: int) -> Alarm | None:
        next_row, gap = self._next.get(kind, (0, 0))
        if self._logged < next_row:
            return None
        found: Finding | None = KINDS[kind](self._history, limit)
        if found is None:
            return None
        shortest = limit if kind == "reward_stuck" else self._window
        gap = 2 * gap if gap and self._logged == next_row else shortest
        self._next[kind] = self._logged + gap, gap
        for name in found.compared:
            self._history.rebase(name)
        return Alarm(step, kind, found.figure, found.remedy)

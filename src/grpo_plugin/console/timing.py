"""How long the named sections of a run take; each second counts for one section."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _nothing(section: str | None) -> None: ...


class Stopwatch:
    """Seconds per named section, per step and in total.

    Sections nest: while `with watch("score")` runs inside `with watch("train")`, its seconds count for "score" alone,
    so that the sections of a step never add up to more than the step. Not for several threads.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, on_section: Callable[[str | None], None] = _nothing
    ) -> None:
        """`on_section` is called with the innermost open section, whenever that changes."""
        self._clock = clock
        self._on_section = on_section
        self._began = self._mark = clock()
        self._open: list[str] = []
        self._whole: str | None = None
        self._step: defaultdict[str, float] = defaultdict(float)
        self._total: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the seconds of the block for `name`; those of a failing block count too."""
        self._charge()
        self._open.append(name)
        self._on_section(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()
            self._on_section(self._open[-1] if self._open else None)

    @contextmanager
    def whole(self, name: str) -> Iterator[None]:
        """As calling the stopwatch, but the seconds of sections inside count for `name` too."""
        with self(name):
            outer, self._whole = self._whole, self._whole or name
            try:
                yield
            finally:
                self._charge()
                self._whole = outer

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere, outside any open section."""
        self._step[name] += seconds
        self._total[name] += seconds

    def step(self) -> dict[str, float]:
        """Seconds per section since the last call, open sections up to now; the next step starts at zero."""
        self._charge()
        seconds = dict(self._step)
        self._step.clear()
        return seconds

    def take(self, name: str) -> float:
        """Seconds of one section since the last call of this or `step`, which will not count them again."""
        self._charge()
        return self._step.pop(name, 0.0)

    def totals(self) -> dict[str, float]:
        """Seconds per section since the stopwatch was made."""
        self._charge()
        return dict(self._total)

    def elapsed(self) -> float:
        """Seconds since the stopwatch was made, whether a section covers them or not."""
        return self._clock() - self._began

    def _charge(self) -> None:
        """Add the seconds since the last mark to the innermost open section."""
        now = self._clock()
        if self._open:
            self.add(self._whole or self._open[-1], now - self._mark)
        self._mark = now

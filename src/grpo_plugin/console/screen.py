"""The screen of a run: facts about it, one line for each logged step, and a progress bar on a terminal.

A pipe or a file gets the same lines, without the bar and without control characters.
"""

import atexit
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from grpo_plugin.console.log_columns import WIDTH, Column, Logs, clock, header, layout, line, reward_functions

HEADER_EVERY = 25


class Pace:
    """Estimates how long the remaining steps take, from the mean of the last 20 steps of this process."""

    def __init__(self, total: int, done: int = 0, now: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._now = now
        self._steps = deque([(done, now())], maxlen=21)
        self._began = now()

    def advance(self, done: int) -> None:
        self._steps.append((done, self._now()))

    def elapsed(self) -> float:
        """Seconds since training began in this process."""
        return self._now() - self._began

    def remaining(self) -> float | None:
        """Seconds until the last step, counting down between steps; None before the first step is done."""
        (first, began), (last, ended) = self._steps[0], self._steps[-1]
        if last == first:
            return None
        planned = (ended - began) / (last - first) * (self.total - last)
        return max(0.0, planned - (self._now() - ended))


class Screen:
    """Shows a run on `stream`; close it before anything else writes there."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        # Otherwise rich would let FORCE_COLOR or COLUMNS override what the stream is.
        self.console = Console(
            file=stream,
            force_terminal=self.live,
            force_interactive=self.live,
            width=None if self.live else WIDTH,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._now = now
        self._pace: Pace | None = None
        self._progress: Progress | None = None
        self._training: TaskID | None = None
        self._functions: list[str] = []
        self._columns: list[Column] = []
        self._rows = 0

    def fact(self, label: str, text: str) -> None:
        """One line about the run, such as the state of vLLM; `label` has up to 10 characters."""
        self._print(Text(f"{label:<10} {text}"))

    def note(self, text: str) -> None:
        """A sentence that the user should notice, such as a restart of the server."""
        self._print(Text(text, style="yellow"))

    def note_from_signal(self, text: str) -> None:
        """A note from a signal handler, past Python's buffer, which the interrupted code may be writing to."""
        with suppress(RuntimeError):  # "reentrant call"; what the bar leaves is cleared at exit
            self.close()
        with suppress(OSError):  # a screen that is no file
            os.write(self.console.file.fileno(), f"{text}\n".encode())

    @contextmanager
    def wait(self, text: str) -> Iterator[None]:
        """Show on a terminal that something takes time, and how long it has taken."""
        bar = self._bar()
        task = bar.add_task(text, total=None)
        try:
            yield
        finally:
            bar.remove_task(task)
            bar.refresh()
            if not bar.task_ids:
                self.close()

    def begin(self, total: int, done: int = 0) -> None:
        """Training starts: `done` of `total` optimizer steps are done, more than 0 when it resumes."""
        self._pace = Pace(total, done, self._now)
        self._training = self._bar().add_task("training", total=total, completed=done)

    def advance(self, done: int) -> None:
        """An optimizer step has ended."""
        if self._pace is not None and self._training is not None:
            self._pace.advance(done)
            self._bar().update(self._training, completed=done)

    def row(self, step: int, logs: Logs) -> None:
        """The line of a logged step; the column titles are repeated every 25 lines."""
        functions = reward_functions(logs) or self._functions
        if functions != self._functions or self._rows % HEADER_EVERY == 0:
            self._functions, self._rows = functions, 0
            self._columns = layout(
                functions, min(self.console.width, WIDTH), eta=not self.live, episodes="episode/turns" in logs
            )
            self._print(Text(header(self._columns), style="bold"))
        eta = self._pace.remaining() if self._pace else None
        self._print(Text(line(self._columns, {**logs, "step": step, "eta": eta})))
        self._rows += 1

    def finish(self) -> None:
        """Training has ended: remove the bar and show how long it took."""
        self.close()
        if self._pace is not None:
            self.fact("trained", f"in {clock(self._pace.elapsed())}")
            self._pace = None

    def section(self, title: str, lines: Sequence[str]) -> None:
        """A title over indented lines, after an empty line; nothing if there are no lines."""
        if lines:
            self._print(Text(f"\n{title}", style="bold"))
        self.lines(lines)

    def lines(self, lines: Sequence[str]) -> None:
        """Indented lines."""
        for text in lines:
            self._print(Text(f"  {text}".rstrip()))

    def close(self) -> None:
        """Remove the bar and show the terminal's cursor again; idempotent."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = self._training = None
            atexit.unregister(self.close)

    def _print(self, text: Text) -> None:
        # soft_wrap leaves lines as they are, so that paths and commands can be copied whole.
        self.console.print(text, soft_wrap=True)

    def _bar(self) -> Progress:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                _Count(),
                TimeElapsedColumn(),
                _Remaining(lambda: self._pace),
                console=self.console,
                transient=True,
                disable=not self.live,
                refresh_per_second=2,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.start()
            atexit.register(self.close)  # the bar hides the cursor
        return self._progress


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


class _Remaining(ProgressColumn):
    """rich's own column forgets steps older than 30 s, which leaves a run with longer steps without an ETA."""

    def __init__(self, pace: Callable[[], Pace | None]) -> None:
        self._pace = pace
        super().__init__()

    def render(self, task: Task) -> Text:
        pace = self._pace()
        return Text("" if task.total is None or pace is None else f"ETA {clock(pace.remaining())}")

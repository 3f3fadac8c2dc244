import io
import os
import pty
import subprocess
import sys

import pytest

from grpo_plugin.console.screen import Pace, Screen

LOGS = {"reward": 0.5, "rewards/accuracy/mean": 0.25, "kl": None, "entropy": 1.0}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_pace_counts_only_the_steps_of_this_process():
    clock = Clock()
    pace = Pace(total=60, done=40, now=clock)
    assert pace.remaining() is None
    for done in (41, 42):
        clock.now += 3.0
        pace.advance(done)
    assert pace.remaining() == 3.0 * 18
    clock.now += 2.0
    assert pace.remaining() == 3.0 * 18 - 2.0
    clock.now += 1000.0
    assert pace.remaining() == 0.0
    assert pace.elapsed() == 1008.0


def test_pace_follows_the_last_twenty_steps():
    clock = Clock()
    pace = Pace(total=100, now=clock)
    for done in range(1, 51):
        clock.now += 1.0 if done <= 30 else 5.0
        pace.advance(done)
    assert pace.remaining() == 5.0 * 50


def test_a_pipe_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    clock = Clock()
    screen = Screen(stream, clock)
    screen.fact("vLLM", "starting…")
    with screen.wait("waiting for vLLM"):
        pass
    path = "/outputs/" + "long/" * 40
    screen.note(f"[restart] {path}")
    screen.begin(total=4, done=2)
    clock.now += 10
    screen.advance(3)
    screen.row(3, LOGS)
    screen.finish()
    assert stream.getvalue().splitlines() == [
        "vLLM       starting…",
        f"[restart] {path}",
        " step reward accuracy length      KL entropy logp gap   cut generate score train  sync     ETA",
        "    3  0.500    0.250      -       -   1.000        -     -        -     -     -     -    0:10",
        "trained    in 0:10",
    ]


def test_titles_come_back_every_25_lines_and_when_the_functions_change():
    stream = io.StringIO()
    screen = Screen(stream)
    for step in range(1, 27):
        screen.row(step, LOGS)
    screen.row(27, {"reward": 0.0, "rewards/format/mean": 1.0})
    lines = stream.getvalue().splitlines()
    titles = [index for index, text in enumerate(lines) if "reward" in text]
    assert titles == [0, 26, 28]
    assert "format" in lines[28]


AMID_A_WRITE = """
import signal, sys, time
from grpo_plugin.console.screen import Screen
screen = Screen(sys.stdout)
signal.signal(signal.SIGALRM, lambda *_: (screen.note_from_signal("stopped"), sys.exit(7)))
signal.setitimer(signal.ITIMER_REAL, 0.3)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    screen.note("x" * 1000)
"""


def test_a_signal_amid_a_write_can_still_be_told():
    """Python refuses a second write to a buffer that is being written to."""
    run = subprocess.run([sys.executable, "-c", AMID_A_WRITE], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (7, "")
    assert "stopped" in run.stdout


TERMINAL_RUN = """
import sys
from grpo_plugin.console.screen import Screen
screen = Screen(sys.stdout)
with screen.wait("waiting for vLLM"):
    pass
screen.begin(4, 1)
screen.advance(2)
screen.row(2, {"reward": 0.5})

"""


@pytest.mark.parametrize("ending", ["screen.finish()", "raise SystemExit(3)"])
def test_a_terminal_gets_a_bar_and_its_cursor_back(ending):
    shown = _on_terminal(TERMINAL_RUN + ending)
    assert "waiting for vLLM" in shown
    assert "1/4" in shown
    assert "0.500" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def _on_terminal(program: str) -> str:
    """Run a program on a pseudo-terminal and return everything it wrote there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux reports the closed terminal as an input/output error
        pass
    finally:
        os.close(ours)
    process.wait(timeout=30)
    return shown.decode()

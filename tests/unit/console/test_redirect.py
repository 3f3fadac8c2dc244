import os
import pty
import subprocess
import sys

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

NOISY = """
import ctypes, os, subprocess, sys
from pathlib import Path
from grpo_plugin.console.redirect import redirect
print("before")
console = redirect(Path("out/debug.log"))
print("python noise")
os.write(1, b"C noise\\n")
print("warning", file=sys.stderr)
subprocess.run(["sh", "-c", "echo child noise; echo child error >&2"], check=True)
console.write("a line for the user, tty: %s\\n" % console.isatty())
print("noise, tty: %s" % sys.stdout.isatty())
{ending}
"""


def run(program, folder, **streams):
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=ENVIRONMENT, timeout=60, check=False, **streams
    )


def noisy(ending):
    return NOISY.replace("{ending}", ending)


NOISE = {"python noise", "C noise", "warning", "child noise", "child error", "noise, tty: False"}


@pytest.mark.parametrize("sink", ["pipe", "file"])
def test_noise_of_every_kind_goes_to_the_log(tmp_path, sink):
    program = noisy("")
    if sink == "pipe":
        done = run(program, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shown, errors = done.stdout.decode(), done.stderr.decode()
    else:
        with (tmp_path / "stdout").open("wb") as stdout, (tmp_path / "stderr").open("wb") as stderr:
            run(program, tmp_path, stdout=stdout, stderr=stderr)
        shown, errors = (tmp_path / "stdout").read_text(), (tmp_path / "stderr").read_text()
    assert shown.splitlines() == ["before", "a line for the user, tty: False"]
    assert errors == ""
    assert set((tmp_path / "out/debug.log").read_text().splitlines()) == NOISE


def test_a_terminal_stays_a_terminal_for_the_console_alone(tmp_path):
    ours, theirs = pty.openpty()
    done = run(noisy(""), tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.splitlines() == ["before", "a line for the user, tty: True"]
    assert set((tmp_path / "out/debug.log").read_text().splitlines()) == NOISE


def test_a_second_run_appends(tmp_path):
    for _ in range(2):
        run(noisy(""), tmp_path, stdout=subprocess.DEVNULL)
    assert (tmp_path / "out/debug.log").read_text().count("C noise") == 2


def test_a_crash_leaves_its_traceback_in_the_log(tmp_path):
    done = run(noisy("raise RuntimeError('boom')"), tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b""
    assert "RuntimeError: boom" in (tmp_path / "out/debug.log").read_text()

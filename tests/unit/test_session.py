import os
import signal
import subprocess
import sys
import time

import pytest

from grpo_plugin import session
from grpo_plugin.rollout.server.guard import start_time
from grpo_plugin.session import Session, environ_before_split, is_main


@pytest.fixture
def environ(monkeypatch):
    for name in (session.FOLDER, session.LAUNCHER, session.CONSOLE, session.SERVER, session.GPUS, "RANK"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_run_without_the_launcher_has_no_session(environ, tmp_path):
    assert Session.current() is None
    environ.setenv(session.FOLDER, str(tmp_path))
    assert Session.current() == Session(tmp_path)
    assert Session(tmp_path).server_dir is None
    environ.setenv(session.SERVER, str(tmp_path / "vllm"))
    assert Session(tmp_path).server_dir == tmp_path / "vllm"


def test_what_a_trainer_reports_is_seen_through_the_folder(tmp_path):
    trainer, launcher = Session(tmp_path), Session(tmp_path)
    assert (launcher.server_adopted, launcher.failure_reported) == (False, False)
    trainer.report_server_adopted()
    assert (launcher.server_adopted, launcher.failure_reported) == (True, False)
    trainer.report_failure()
    trainer.report_failure()
    assert (launcher.server_adopted, launcher.failure_reported) == (True, True)


TRAINER = """
import os, sys
from pathlib import Path
from grpo_plugin.session import Session
mark = Session(Path(".")).trainer()
{then}
os._exit(0)
"""


@pytest.mark.parametrize(
    ("then", "where"),
    [
        ("", "before the first step"),
        ("mark.write('in step 12 (rewards)'); mark.write('in step 13')", "in step 13"),
        ("mark.write('in step 12'); mark.remove()", None),
    ],
)
def test_a_trainer_that_ended_in_the_middle_is_lost(tmp_path, then, where):
    subprocess.run([sys.executable, "-c", TRAINER.format(then=then)], cwd=tmp_path, check=True)
    assert Session(tmp_path).lost_trainer() == where


def test_a_trainer_that_ends_while_it_is_looked_at_is_not_lost(tmp_path, monkeypatch):
    mark = Session(tmp_path).trainer()
    monkeypatch.setattr(session, "start_time", lambda pid: mark.remove())
    assert Session(tmp_path).lost_trainer() is None


def test_a_trainer_that_lives_is_not_lost(tmp_path):
    mark = Session(tmp_path).trainer()
    assert Session(tmp_path).lost_trainer() is None
    mark.remove()
    mark.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_launcher_is_removed(environ, tmp_path):
    folder = tmp_path / "grpo-1"
    folder.mkdir()
    launcher = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    environ.setenv(session.LAUNCHER, str(launcher.pid))
    Session(folder).remove_if_orphaned()
    assert folder.is_dir(), "a living launcher removes it itself"
    launcher.kill()
    launcher.wait()
    Session(folder).remove_if_orphaned()
    assert not folder.exists()


@pytest.mark.parametrize(("rank", "main"), [(None, True), ("0", True), ("1", False), ("8", False)])
def test_rank_0_is_the_main_process(environ, rank, main):
    if rank:
        environ.setenv("RANK", rank)
    assert is_main() is main


def test_the_server_is_planned_with_the_gpus_that_the_launcher_saw(environ):
    environ.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert environ_before_split()["CUDA_VISIBLE_DEVICES"] == "0,1,2"
    environ.setenv(session.GPUS, "0,1,2,3")
    assert environ_before_split()["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1,2", "the process's own is not changed"


CONSOLE = """
import os, sys
from pathlib import Path
from grpo_plugin.session import Session
session = Session(Path("."))
console = session.take_console()
console.write("for the user\\n")
print("a second time:", session.take_console(), "input:", sys.stdin.read() == "")
"""


def test_the_screen_comes_as_descriptor_0_and_is_taken_once(tmp_path):
    with (tmp_path / "screen").open("wb") as screen:
        run = subprocess.run(
            [sys.executable, "-c", CONSOLE],
            stdin=screen,
            stdout=subprocess.PIPE,
            env={**os.environ, session.CONSOLE: "0"},
            text=True,
            timeout=60,
            check=True,
        )
    assert (tmp_path / "screen").read_text() == "for the user\n"
    assert run.stdout == "a second time: None input: True\n"


PARENT = """
import subprocess, sys, time
code = "import time; from grpo_plugin.session import end_with_parent; end_with_parent(); print('up', flush=True); " \\
    "time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's PR_SET_PDEATHSIG is Linux's")
def test_a_process_ends_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert start_time(child) is not None
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while start_time(child) is not None:
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)

"""The supervisor with small stand-in children instead of a training run; tests/faults has the real ones."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PROGRAM = """
import os, sys
from grpo_plugin.launcher import supervisor
supervisor.GRACE = 2.0
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
child = supervisor.fork(log)
if child == 0:
{child}
    sys.exit(0)
sys.exit(supervisor.Supervisor(child, on_end=lambda: print("ended", flush=True){options}).wait())
"""


@pytest.fixture
def run(tmp_path):
    def start(child: str, options: str = "") -> subprocess.Popen:
        child = textwrap.indent(textwrap.dedent(child), "    ")
        program = PROGRAM.format(log=str(tmp_path / "log"), child=child, options=options)
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    return start


def wait_for(path, seconds=20):
    deadline = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)
    return path.read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_childs_exit_code_and_output(run, tmp_path):
    process = run("os.write(0, b'to the screen '); print('to the log', flush=True); sys.exit(7)")
    assert process.communicate(timeout=30)[0] == "to the screen ended\n"
    assert process.returncode == 7
    assert (tmp_path / "log").read_text() == "to the log\n"


def test_a_child_killed_by_a_signal(run):
    process = run("import signal; os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL


def test_a_hang_up_that_nohup_ignores_ends_nothing(run, tmp_path):
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = run(f"import time; open({str(tmp_path / 'up')!r}, 'w').write('up'); time.sleep(2); sys.exit(7)")
    finally:
        signal.signal(signal.SIGHUP, ignored)
    wait_for(tmp_path / "up")
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=10)[0] == "ended\n"
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_reach_the_child_and_become_the_exit_code(run, tmp_path, number):
    process = run(f"""
        import signal, time
        signal.signal({int(number)}, lambda *a: sys.exit(0))
        open({str(tmp_path / "up")!r}, "w").write("up")
        time.sleep(60)
    """)
    wait_for(tmp_path / "up")
    process.send_signal(number)
    assert process.communicate(timeout=10)[0] == "ended\n"
    assert process.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.parametrize("seconds", [60.0, 0.3])
def test_a_run_that_can_save_is_asked_and_stopped_only_if_it_takes_too_long(run, tmp_path, number, seconds):
    process = run(
        f"""
        import pathlib, signal, time
        signal.signal(signal.SIGTERM, lambda *a: print("stopped", flush=True) or sys.exit(0))
        open({str(tmp_path / "up")!r}, "w").write("up")
        while not pathlib.Path({str(tmp_path / "asked")!r}).exists():
            time.sleep(0.05)
        time.sleep(0.1 if {seconds} > 1 else 60)
        print("saved", flush=True)
    """,
        f", ask_to_stop=lambda number: (open({str(tmp_path / 'asked')!r}, 'w').write(str(number)), {seconds})[1]",
    )
    wait_for(tmp_path / "up")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert wait_for(tmp_path / "asked") == str(int(number))
    assert (tmp_path / "log").read_text() == ("saved\n" if seconds > 1 else "stopped\n")


def test_the_schedulers_signal_stops_a_run_that_cannot_save_and_harms_no_other_process(run, tmp_path):
    process = run(f"""
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, lambda *a: print("stopped", flush=True) or sys.exit(0))
        below = subprocess.Popen(["sleep", "60"])
        os.kill(below.pid, signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.2)
        print(below.poll(), flush=True)
        open({str(tmp_path / "up")!r}, "w").write("up")
        time.sleep(60)
    """)
    wait_for(tmp_path / "up")
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGUSR1
    assert (tmp_path / "log").read_text() == "None\nstopped\n"


def test_a_child_that_ignores_signals_is_killed(run, tmp_path):
    process = run(f"""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    """)
    child = int(wait_for(tmp_path / "pid"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert not alive(child)


GRANDCHILD = """
    import subprocess
    program = "import os, time; open({up!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", program])
    while not os.path.exists({up!r}): pass
    {then}
"""


def test_ranks_whose_launcher_dies_are_ended(run, tmp_path):
    up = str(tmp_path / "pid")
    process = run(GRANDCHILD.format(up=up, then="os._exit(3)"))
    rank = int(wait_for(tmp_path / "pid"))
    process.communicate(timeout=10)
    assert process.returncode == 3
    assert not alive(rank)


def test_a_daemon_of_the_run_ends_with_it(run, tmp_path):
    """In a session of its own, and its parent gone: as `Popen(..., start_new_session=True)` in a reward leaves it."""
    pid = tmp_path / "pid"
    process = run(f"""
        import subprocess
        daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open({str(pid)!r}, "w").write(str(daemon.pid))
        os._exit(0)
    """)
    began = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not alive(int(pid.read_text()))
    assert time.monotonic() - began < 8


def test_a_killed_supervisor_ends_its_child(run, tmp_path):
    process = run(f"""
        import time
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    """)
    child = int(wait_for(tmp_path / "pid"))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)

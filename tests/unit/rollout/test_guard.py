"""The guard with stand-ins for vLLM: real processes, some of them stubborn."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grpo_plugin.rollout.server import guard

Start = Callable[..., "subprocess.Popen[str]"]


def until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    return until(lambda: not any(guard.start_time(pid) for pid in pids), seconds)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a guard over a Python program, owned by this process unless told otherwise; returns once it has spoken."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, owner: int | None = None, remove: Path | None = None) -> "subprocess.Popen[str]":
        owner = owner or os.getpid()
        argv = [sys.executable, "-I", "-S", guard.__file__, "--owner", str(owner)]
        argv += ["--owner-started", guard.start_time(owner) or ""]
        argv += ["--remove", str(remove or tmp_path / "run")]
        argv += ["--", sys.executable, "-S", "-c", textwrap.dedent(program)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in started:
        for pid in [*guard.descendants(process.pid), process.pid]:
            guard.kill(pid, signal.SIGKILL)
        process.communicate()


SLEEPS = """
    import time
    print("ready", flush=True)
    time.sleep(600)
"""
# Ignores SIGTERM, and so does its child, which has left the session and lost its parent. Both hold shared memory that
# no resource tracker knows of.
STUBBORN = """
    import mmap, os, signal, time
    from multiprocessing import resource_tracker, shared_memory
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    block = shared_memory.SharedMemory(create=True, size=4096)
    resource_tracker.unregister(block._name, "shared_memory")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            print("ready", flush=True)
            time.sleep(600)
        os._exit(0)
    time.sleep(600)
"""


def test_start_time_names_a_process_and_not_a_zombie() -> None:
    assert guard.start_time(os.getpid()) == guard.start_time(os.getpid())
    child = subprocess.Popen(["true"])
    assert until(lambda: guard.start_time(child.pid) is None, 5), "it has ended, though nobody has awaited it"
    child.wait()
    assert guard.start_time(child.pid) is None


def test_it_hands_on_the_exit_code_and_removes_the_folder(start: Start, tmp_path: Path) -> None:
    (tmp_path / "run" / "tmp").mkdir(parents=True)
    process = start('print("ready", flush=True); raise SystemExit(7)')
    assert process.wait(5) == 7
    assert not (tmp_path / "run").exists()


def test_a_killed_server_shows_in_the_exit_code(start: Start) -> None:
    process = start('import os; print("ready", flush=True); os.kill(os.getpid(), 9)')
    assert process.wait(5) == 128 + 9


def test_it_ends_with_its_owner_even_if_that_is_killed(start: Start) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    process = start(SLEEPS, owner=owner.pid)
    tree = [process.pid, *guard.descendants(process.pid)]
    assert len(tree) == 2
    owner.kill()
    # The owner stays a zombie, as when its own parent does not await it.
    assert gone(tree, 3)
    owner.wait()
    assert "is gone" in (process.stdout.read() if process.stdout else "")


def test_an_owner_that_is_gone_already() -> None:
    process = subprocess.run(
        [sys.executable, "-I", "-S", guard.__file__, "--owner", str(os.getpid()), "--owner-started", "1", "--", "true"],
        timeout=10,
    )
    assert process.returncode in (0, 128 + 15)


def test_sigterm_ends_server_and_guard(start: Start) -> None:
    process = start(SLEEPS)
    tree = guard.descendants(process.pid)
    process.terminate()
    assert process.wait(3) == 128 + 15
    assert gone(tree, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_terminals_signals_are_the_owners_business(start: Start, number: signal.Signals) -> None:
    process = start(SLEEPS)
    process.send_signal(number)
    time.sleep(0.5)
    assert process.poll() is None
    assert len(guard.descendants(process.pid)) == 1


def test_the_stubborn_end_too_and_their_shared_memory(start: Start) -> None:
    process = start(STUBBORN)
    orphan_adopted = until(lambda: len(guard.descendants(process.pid)) >= 2, 5)
    tree = guard.descendants(process.pid)
    shared = guard.mapped_shared_memory(tree)
    assert orphan_adopted
    assert len(shared) == 1
    process.terminate()
    assert process.wait(9) == 128 + 9
    assert gone(tree, 0)
    assert not any(Path(path).exists() for path in shared)


def test_what_a_dead_server_leaves_ends_too(start: Start) -> None:
    process = start(STUBBORN)
    main = next(
        pid for pid in guard.descendants(process.pid) if os.getpgid(pid) == pid and os.getsid(pid) == process.pid
    )
    tree = guard.descendants(process.pid)
    os.kill(main, signal.SIGKILL)
    assert process.wait(6) == 128 + 9
    assert gone(tree, 0)


def test_a_killed_guard_takes_the_server_along(start: Start) -> None:
    process = start(SLEEPS)
    tree = guard.descendants(process.pid)
    process.kill()
    assert gone(tree, 3)


def test_shared_memory_that_somebody_else_maps_is_kept() -> None:
    from multiprocessing import shared_memory

    block = shared_memory.SharedMemory(create=True, size=4096)
    path = Path("/dev/shm") / block.name
    try:
        guard.unlink_unmapped({str(path)})
        assert path.exists()
        block.close()
        guard.unlink_unmapped({str(path)})
        assert not path.exists()
    finally:
        if path.exists():
            block.unlink()


def test_a_whole_session_can_be_found(start: Start) -> None:
    process = start(SLEEPS)
    assert set(guard.session_members(process.pid)) == {process.pid, *guard.descendants(process.pid)}

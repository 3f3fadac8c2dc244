import re
import signal
import threading
import time

import pytest

from grpo_plugin.scoring.time_limit import Interrupted, interrupt_after


def loop() -> None:
    while True:
        pass


def stubborn() -> None:
    """Swallows one interruption and goes on."""
    try:
        loop()
    except BaseException:
        loop()


@pytest.mark.parametrize("work", [loop, stubborn, lambda: re.match(r"(a+)+$", "a" * 40 + "b"), lambda: 7**9_000_000])
def test_work_is_interrupted(work: object) -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted), interrupt_after(0.2):
        work()  # type: ignore[operator]
    assert time.monotonic() - began < 5


def test_an_alarm_that_was_set_before_is_set_again() -> None:
    fired = threading.Event()
    handler = signal.signal(signal.SIGALRM, lambda *_: fired.set())
    before = signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        with interrupt_after(5.0):
            time.sleep(0.1)
        assert not fired.is_set()
        time.sleep(0.6)
        assert fired.is_set()
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_other_threads_are_left_alone() -> None:
    done = threading.Event()

    def work() -> None:
        with interrupt_after(0.01):
            time.sleep(0.05)
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert done.is_set()

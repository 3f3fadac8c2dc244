import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from grpo_plugin.scoring.mathematics import agrees, equivalent, is_readable
from grpo_plugin.scoring.mathematics.compare import math_verify_fallback

INTEGRAL = r"\int_0^1 x \, dx"
ENDLESS = r"\sum_{k=1}^{9^{9^{9^9}}} k"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    math_verify_fallback._asked.cache_clear()


def test_what_our_grammar_does_not_evaluate_is_asked_of_math_verify() -> None:
    assert equivalent(r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k")
    assert equivalent(r"\frac{1}{2}", INTEGRAL)
    assert is_readable(INTEGRAL)
    assert not equivalent(r"\frac{n(n-1)}{2}", r"\sum_{k=1}^{n} k")


def test_a_question_over_its_budget_ends_and_is_remembered() -> None:
    assert not math_verify_fallback.verify(("9^{9^{9^9}}",), "9^{9^{9^8}}")
    began = time.monotonic()
    for _ in range(100):
        assert not math_verify_fallback.verify(("9^{9^{9^9}}",), "9^{9^{9^8}}")
    assert time.monotonic() - began < 1.0
    assert equivalent(r"\frac{1}{2}", INTEGRAL), "the next question gets a new process"


def test_one_budget_for_all_golds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(math_verify_fallback, "verify", lambda golds, answer: asked.append((golds, answer)))
    golds = [rf"\int_0^{n} x \, dx" for n in range(2, 12)]
    agrees("3.25", golds)
    assert asked == [(tuple(golds), "3.25")]


def test_ten_golds_in_one_question() -> None:
    golds = [rf"\int_0^{n} x \, dx" for n in range(2, 12)]
    assert agrees(r"\frac{9}{2}", golds)
    assert not agrees(r"\frac{1}{2}", golds)


def _grade_in_a_daemon(results: "multiprocessing.Queue[bool]") -> None:
    results.put(equivalent(r"\frac{1}{2}", INTEGRAL))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inside_a_daemonic_process(method: str) -> None:
    assert equivalent(r"\frac{1}{2}", INTEGRAL), "this process has its own child, which the fork must not use"
    context = multiprocessing.get_context(method)
    results = context.Queue()
    worker = context.Process(target=_grade_in_a_daemon, args=(results,), daemon=True)
    worker.start()
    assert results.get(timeout=200) is True
    worker.join()
    assert equivalent(r"\frac{1}{3}", r"\int_0^1 x^2 \, dx")


def test_from_many_threads() -> None:
    pairs = [(rf"\frac{{1}}{{{n + 1}}}", rf"\int_0^1 x^{n} \, dx") for n in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda pair: equivalent(*pair), pairs))
        assert not any(threads.map(lambda pair: equivalent(pair[0] + "+1", pair[1]), pairs))


def test_a_killed_process_is_replaced() -> None:
    assert equivalent(r"\frac{1}{2}", INTEGRAL)
    process = math_verify_fallback._process
    assert process is not None
    os.kill(process.child.pid, signal.SIGKILL)
    process.child.wait()
    assert equivalent(r"\frac{1}{3}", r"\int_0^1 x^2 \, dx")


@contextmanager
def _loaded_machine(processes: int) -> Iterator[None]:
    """Busy loops that end by themselves after a minute, whatever becomes of this test."""
    loop = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    children = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(processes)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_the_same_verdict_on_a_loaded_machine() -> None:
    sums = [(rf"\frac{{n(n+1)}}{{2}}+{c}", rf"\sum_{{k=1}}^{{n}} k+{c}") for c in range(4)]
    sums += [(answer + "+1", gold) for answer, gold in sums] + [("1", ENDLESS)]
    math_verify_fallback.verify(("1",), "1")
    idle = [equivalent(answer, gold) for answer, gold in sums]
    math_verify_fallback._asked.cache_clear()
    with _loaded_machine(4 * (os.cpu_count() or 1)):
        assert [equivalent(answer, gold) for answer, gold in sums] == idle
    assert idle == [True] * 4 + [False] * 5

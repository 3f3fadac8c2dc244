"""What our own reader could not decide: asked of math-verify, in a process of its own, under a time limit."""

import atexit
import logging
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

from pebble import ProcessExpired, ProcessPool

from grpo_plugin.scoring.mathematics.errors import Undecided
from grpo_plugin.scoring.processes import start_pool

SECONDS = 1.5
_MEMORY_BYTES = 4 * 2**30
_MAX_LENGTH = 300
_lock = threading.Lock()
_pool: ProcessPool | None = None


def verify(gold: str, answer: str) -> bool:
    """Whether math-verify finds `answer` equivalent to `gold`.

    Raises:
        Undecided: it has not said so within `SECONDS`.
    """
    return _ask(_verify, gold, answer)


def is_readable(gold: str) -> bool:
    """Whether math-verify can read a gold answer.

    Raises:
        Undecided: it has not said so within `SECONDS`.
    """
    return _ask(_reads, gold)


def warm_up() -> None:
    """Start the process of the last stage now, for it takes a second or two; workers wait until they need one."""
    if multiprocessing.parent_process() is None:
        _started_pool()


def _ask(question: Callable[..., bool], *texts: str) -> bool:
    if any(len(text) > _MAX_LENGTH for text in texts):
        return False
    asked = _started_pool().schedule(question, args=texts, timeout=SECONDS)
    try:
        return bool(asked.result(timeout=SECONDS))
    except (TimeoutError, ProcessExpired) as error:
        asked.cancel()
        raise Undecided(texts) from error
    except Exception:
        # A complaint of math-verify's own: it cannot read one of the two.
        return False


def _started_pool() -> ProcessPool:
    global _pool
    with _lock:
        if _pool is None or not _pool.active:
            _pool = start_pool(1, _MEMORY_BYTES, _prepare)
            atexit.register(_stop, _pool)
        return _pool


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join(timeout=5)


def _prepare() -> None:
    """Pay for slow imports and the grammar's tables before the first question is timed."""
    logging.disable(logging.CRITICAL)
    _verify(r"\int_0^1 x dx", r"\frac{1}{2}")
    _verify(r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}")


def _read(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    return parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None)


def _reads(gold: str) -> bool:
    return bool(_read(gold))


def _verify(gold: str, answer: str) -> bool:
    from math_verify import verify

    gold_read, answer_read = _read(gold), _read(answer)
    return bool(gold_read and answer_read and verify(gold_read, answer_read, timeout_seconds=None))

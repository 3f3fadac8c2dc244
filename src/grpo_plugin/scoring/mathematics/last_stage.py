"""What our own reader could not decide: asked of math-verify, in a process of its own, under a time limit."""

import atexit
import logging
import multiprocessing
import threading
from typing import Any

from pebble import ProcessPool

from grpo_plugin.scoring.processes import start_pool

SECONDS = 1.5
_MEMORY_BYTES = 4 * 2**30
_MAX_LENGTH = 300
_lock = threading.Lock()
_pool: ProcessPool | None = None


def verify(gold: str, answer: str) -> bool:
    """Whether math-verify finds `answer` equivalent to `gold`; False where it cannot tell within `SECONDS`."""
    return bool(_ask(_verify, gold, answer))


def is_readable(gold: str) -> bool:
    """Whether math-verify can read a gold answer."""
    return bool(_ask(_reads, gold))


def warm_up() -> None:
    """Start the process of the last stage now, for it takes a second or two; workers wait until they need one."""
    if multiprocessing.parent_process() is None:
        _started_pool()


def _ask(question: Any, *texts: str) -> Any:
    if any(len(text) > _MAX_LENGTH for text in texts):
        return False
    try:
        return _started_pool().schedule(question, args=texts, timeout=SECONDS).result(timeout=SECONDS)
    except Exception:
        # Time limit, crash, or a complaint of math-verify's own: it has no verdict.
        return False


def _started_pool() -> ProcessPool:
    global _pool
    with _lock:
        if _pool is None or not _pool.active:
            _pool = start_pool(1, _MEMORY_BYTES, _import)
            atexit.register(_stop, _pool)
        return _pool


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join(timeout=5)


def _import() -> None:
    logging.disable(logging.CRITICAL)
    import math_verify  # noqa: F401 — the import is slow: pay for it before the first question


def _read(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    return parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None)


def _reads(gold: str) -> bool:
    return bool(_read(gold))


def _verify(gold: str, answer: str) -> bool:
    from math_verify import verify

    gold_read, answer_read = _read(gold), _read(answer)
    return bool(gold_read and answer_read and verify(gold_read, answer_read, timeout_seconds=None))

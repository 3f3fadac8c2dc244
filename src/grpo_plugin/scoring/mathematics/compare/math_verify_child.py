"""The script that runs in the process of `math_verify_fallback`: it reads questions and answers them with math-verify.

It imports nothing of this package: it is started by its path, so that no time goes into imports it does not need.
"""

import json
import logging
import math
import os
import resource
import signal
import sys
import time
from typing import Any

# Seconds beyond the budget after which the kernel ends a process that Python cannot interrupt.
_HARD_SECONDS = 1


class _Late(BaseException):
    """A question has used up its budget; no library code catches this."""


def main() -> None:
    """Answer questions, one JSON line each, until the pipe closes."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries' prints must not mix with the answers
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    _prepare()
    signal.signal(signal.SIGPROF, _stop)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        verdict = _within(seconds, *json.loads(line))
        print(json.dumps(verdict), file=answers, flush=True)


def _within(seconds: float, *question: Any) -> bool:
    """The verdict within a budget of processor time of this process; False where it runs out.

    An exception ends the question, so that the process goes on; where Python cannot interrupt (one huge power), the
    kernel ends the process.
    """
    hard = math.ceil(time.process_time() + seconds) + _HARD_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (hard, resource.RLIM_INFINITY))
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            return _answer(*question)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _Late:
        return False


def _stop(signum: int, frame: Any) -> None:
    raise _Late


def _prepare() -> None:
    """Do slow imports and build the grammar's tables before the first question is timed."""
    _answer("verify", [r"\int_0^1 x dx"], r"\frac{1}{2}")
    _answer("verify", [r"\sum_{k=1}^{n} k"], r"\frac{n(n+1)}{2}")


def _answer(question: str, golds: list[str], answer: str) -> bool:
    """An error of math-verify means that it cannot read one of the two."""
    try:
        if question == "read":
            return bool(_read(golds[0]))
        return any(_verify(gold, answer) for gold in golds)
    except Exception:
        return False


def _read(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    return list(parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=None))


def _verify(gold: str, answer: str) -> bool:
    from math_verify import verify

    gold_read, answer_read = _read(gold), _read(answer)
    return bool(gold_read and answer_read and verify(gold_read, answer_read, timeout_seconds=None))


if __name__ == "__main__":
    main()

import time
from collections.abc import Callable

import pytest

from grpo_plugin.scoring.mathematics import equivalent, is_readable
from grpo_plugin.scoring.mathematics.errors import Undecided
from grpo_plugin.scoring.mathematics.last_stage import SECONDS, verify


def in_the_end(question: Callable[[], bool]) -> bool:
    """Ask until the answer is yes, or a minute has passed: on a busy machine the process takes long to come up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if question():
            return True
    return False


def test_what_our_grammar_does_not_evaluate_is_asked_of_math_verify() -> None:
    assert in_the_end(lambda: equivalent(r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k"))
    assert in_the_end(lambda: equivalent(r"\frac{1}{2}", r"\int_0^1 x \, dx"))
    assert in_the_end(lambda: is_readable(r"\int_0^1 x \, dx"))
    assert not equivalent(r"\frac{n(n-1)}{2}", r"\sum_{k=1}^{n} k")


def test_a_question_that_takes_too_long_ends_and_is_no_verdict() -> None:
    began = time.monotonic()
    with pytest.raises(Undecided):
        verify("9^{9^{9^9}}", "9^{9^{9^8}}")
    assert time.monotonic() - began < SECONDS + 1

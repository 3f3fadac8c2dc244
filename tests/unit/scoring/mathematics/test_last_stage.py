import time

import pytest

from grpo_plugin.scoring.mathematics import equivalent, is_readable, last_stage
from grpo_plugin.scoring.mathematics.errors import Undecided


def test_what_our_grammar_does_not_evaluate_is_asked_of_math_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_stage, "SECONDS", 100.0)  # the machine that runs the tests may be busy
    assert equivalent(r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k")
    assert equivalent(r"\frac{1}{2}", r"\int_0^1 x \, dx")
    assert is_readable(r"\int_0^1 x \, dx")
    assert not equivalent(r"\frac{n(n-1)}{2}", r"\sum_{k=1}^{n} k")


def test_a_question_that_takes_too_long_ends_and_is_no_verdict() -> None:
    began = time.monotonic()
    with pytest.raises(Undecided):
        last_stage.verify("9^{9^{9^9}}", "9^{9^{9^8}}")
    assert time.monotonic() - began < last_stage.SECONDS + 1

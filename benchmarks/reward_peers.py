"""The graders that benchmarks/rewards.py compares with, each as a function (response, gold) -> bool.

They run in a worker process, where they can be killed: some of them hang on some answers.
"""

import logging
from collections.abc import Callable
from typing import Any

logging.disable(logging.CRITICAL)

Grader = Callable[[str, str], bool]


def ours(response: str, gold: str) -> bool:
    from rewards.math import accuracy

    return accuracy([response], [gold]) == [1.0]


def mathruler(response: str, gold: str) -> bool:
    """What EasyR1's examples/reward_function/math.py calls."""
    from mathruler.grader import extract_boxed_content, grade_answer

    return bool(grade_answer(extract_boxed_content(response), gold))


def math_verify(response: str, gold: str) -> bool:
    """With the gold answer wrapped in dollar signs, as its documentation advises."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold}$"), parse(response)))


def trl(response: str, gold: str) -> bool:
    """TRL's accuracy_reward with the gold answer as it stands in the data."""
    from trl.rewards import accuracy_reward

    return accuracy_reward([[{"role": "assistant", "content": response}]], [gold]) == [1.0]


def trl_wrapped(response: str, gold: str) -> bool:
    return trl(response, f"${gold}$")


GRADERS: dict[str, Grader] = {
    "ours": ours,
    "mathruler (EasyR1)": mathruler,
    "math-verify": math_verify,
    "TRL accuracy_reward": trl,
    "TRL, gold in $": trl_wrapped,
}


def warm_up() -> None:
    """Import everything, so that no call includes it."""
    for grader in GRADERS.values():
        grader("\\boxed{1}", "1")


def judge(name: str, response: str, gold: str) -> Any:
    """The verdict, or the name of the exception."""
    try:
        return GRADERS[name](response, gold)
    except Exception as error:
        return type(error).__name__

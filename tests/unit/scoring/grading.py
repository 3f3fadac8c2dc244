"""Reward functions for the tests of scoring, good ones and bad ones; recipes name them as `grading.py:name`."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any


def length(completions: Sequence[str], **columns: Any) -> list[float]:
    return [float(len(text)) for text in completions]


def right(completions: Sequence[str], answer: Sequence[str], bonus: float = 0.0) -> list[float]:
    return [float(text == gold) + bonus for text, gold in zip(completions, answer, strict=True)]


def process(completions: Sequence[str], **columns: Any) -> list[float]:
    return [float(os.getpid())] * len(completions)


def surroundings(completions: Sequence[str], **columns: Any) -> list[float]:
    """The length of an environment variable's value; for `__main__`, whether it is a file that ran."""
    main = sys.modules["__main__"]
    return [
        float(hasattr(main, "__file__")) if text == "__main__" else float(len(os.environ[text])) for text in completions
    ]


def steady(completions: Sequence[str], **columns: Any) -> list[float]:
    """Five milliseconds of work for each completion; the number of the process that did it."""
    for _ in completions:
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
    return process(completions)


def naughty(completions: Sequence[str], **columns: Any) -> list[float | None]:
    return [_naughty(text) for text in completions]


def _naughty(text: str) -> float | None:
    if text == "hang":
        while True:
            pass
    if text == "regex":
        re.match(r"(a+)+$", "a" * 40 + "b")
    if text == "exit":
        os._exit(3)
    if text == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if text == "memory":
        bytearray(2**40)
    if text == "raise":
        raise ValueError("no idea")
    return {"nan": float("nan"), "none": None, "infinite": float("-inf")}.get(text, float(len(text)))


def kills_itself(completions: Sequence[str], **columns: Any) -> list[float]:
    os.kill(os.getpid(), signal.SIGTERM)
    return length(completions)


def above_mean(completions: Sequence[str], **columns: Any) -> list[float]:
    mean = sum(map(len, completions)) / len(completions)
    return [len(text) - mean for text in completions]


async def judge(completions: Sequence[str], **columns: Any) -> list[float]:
    if "raise" in completions:
        raise ValueError("no idea")
    await asyncio.sleep(100 if "hang" in completions else 0)
    return [float(len(text)) for text in completions]


def batch_score(reward_inputs: list[dict[str, Any]], format_weight: float = 0.5) -> list[dict[str, float]]:
    return [
        {"overall": format_weight * (row["response"] == row["ground_truth"]), "tokens": row["response_length"]}
        for row in reward_inputs
    ]


def sequential_score(reward_input: dict[str, Any]) -> dict[str, float]:
    return {"overall": float(reward_input["response"] == reward_input["ground_truth"])}


def older_score(prompts: list[str], responses: list[str], answers: list[str]) -> list[float]:
    return [
        float(prompt + answer == response) for prompt, response, answer in zip(prompts, responses, answers, strict=True)
    ]


def with_state(completions: Sequence[str], trainer_state: Any, **columns: Any) -> list[float]:
    return [float(trainer_state)] * len(completions)


def logs(completions: Sequence[str], log_extra: Any, **columns: Any) -> list[float]:
    log_extra("words", list(completions))
    return [0.0] * len(completions)


def no_reward(text: str) -> float:
    return 0.0


def wrong_length(completions: Sequence[str]) -> list[float]:
    return [0.0]


def a_word(completions: Sequence[str]) -> str:
    return "good"


def a_list(completions: Sequence[str]) -> list[list[float]]:
    return [[1.0]] * len(completions)


def no_overall(completions: Sequence[str]) -> list[dict[str, float]]:
    return [{"accuracy": 1.0}] * len(completions)


not_callable = 3

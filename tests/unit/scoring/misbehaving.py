"""Reward functions that harm the process they run in; recipes name them as `misbehaving.py:name`."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any

_calls = count(1)
_MARK = "GRPO_TEST_LEFTOVER"


def parity(completions: Sequence[str], **columns: Any) -> list[float]:
    """0 for a text of even length, 1 for one of odd length."""
    return [float(len(text) % 2) for text in completions]


def exits(completions: Sequence[str], **columns: Any) -> list[float]:
    """`sys.exit()` on a completion that says so."""
    if "exit" in completions:
        sys.exit()
    return parity(completions)


def exits_later(completions: Sequence[str], **columns: Any) -> list[float]:
    """`sys.exit()` in the second call of this process."""
    if next(_calls) == 2:
        sys.exit()
    return parity(completions)


def dies_quietly(completions: Sequence[str], **columns: Any) -> list[float]:
    if "exit" in completions:
        os._exit(0)
    return parity(completions)


def dies_often(completions: Sequence[str], **columns: Any) -> list[float]:
    """Ends its process on every text but the first."""
    if "first" not in completions:
        os._exit(0)
    return parity(completions)


def segfaults(completions: Sequence[str], **columns: Any) -> list[float]:
    if "crash" in completions:
        ctypes.string_at(0)
    return parity(completions)


def forgets_to_return(completions: Sequence[str], **columns: Any) -> list[None]:
    return [None] * len(completions)


def abstains(completions: Sequence[str], **columns: Any) -> list[float | None]:
    """A score for "good" alone."""
    return [1.0 if text == "good" else None for text in completions]


def edits_its_input(
    prompts: list[Any],
    completions: list[Any],
    completion_ids: list[list[int]],
    tags: list[list[str]],
    options: dict[str, int],
) -> list[float]:
    result = [float(len(ids)) for ids in completion_ids]
    for ids, words, prompt in zip(completion_ids, tags, prompts, strict=True):
        ids.clear()
        words.append("seen")
        prompt[0]["content"] = "changed"
    completions.clear()
    options["calls"] = options.get("calls", 0) + 1
    return [length + options["calls"] for length in result]


def leaves_a_daemon(completions: Sequence[str], **columns: Any) -> list[float]:
    """A program in a session of its own, and a forked child that left its parent; both sleep for ten minutes.

    The completions name the file for their process ids.
    """
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if (grandchild := os.fork()) == 0:
            os.execv("/bin/sleep", ["sleep", "600"]) if "exec" in completions[0] else _sleep()
        os.write(writer, str(grandchild).encode())
        os._exit(0)
    with open(completions[0], "a") as pids:  # noqa: PTH123
        pids.write(f"{child.pid} {os.read(reader, 20).decode()} ")
    return parity(completions)


def _sleep() -> None:
    import time

    time.sleep(600)
    os._exit(0)


def forks(completions: Sequence[str], **columns: Any) -> list[float]:
    """Both processes return from the call."""
    os.fork()
    return parity(completions)


def moves_away(completions: Sequence[str], **columns: Any) -> list[float]:
    os.chdir("/")
    return parity(completions)


def where(completions: Sequence[str], **columns: Any) -> list[float]:
    """1 if the working directory is what the completion says."""
    return [float(os.getcwd() == text) for text in completions]  # noqa: PTH109


def talks(completions: Sequence[str], **columns: Any) -> list[float]:
    """Prints 40 MB, half of it past Python."""
    print("x" * 20_000_000)
    for _ in range(20):
        os.write(1, b"y" * 1_000_000)
    return parity(completions)


def prints(completions: Sequence[str], **columns: Any) -> list[float]:
    """40 MB by Python's print."""
    print("x" * 40_000_000)
    return parity(completions)


def tensors(completions: Sequence[str], **columns: Any) -> list[Any]:
    import numpy as np
    import torch

    kinds = {"torch": torch.tensor(0.5), "numpy": np.float32(0.25), "one": np.array([0.75]), "two": torch.ones(2)}
    return [kinds.get(text, 0.0) for text in completions]


def raw_bytes(completions: Sequence[str], **columns: Any) -> bytes:
    return bytes(len(completions))

"""Environments and tools as users write them, some of which fail."""

import asyncio
import os
import sys
import threading
import time
from typing import Any

RELEASE = threading.Event()
"""Lets the tools that hang go on, at the end of a test."""


class Counter:
    """The environment of TRL's documentation: a counter that the model increments."""

    made = 0
    closed = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.counter = 0

    def reset(self, **kwargs: Any) -> str | None:
        self.columns = kwargs
        self.counter = 0
        return kwargs.get("observation")

    def increment(self, step: int) -> int:
        """
        Increment the internal counter.

        Args:
            step: Value to add to the counter.

        Returns:
            The updated counter value.
        """
        self.counter += step
        return self.counter

    async def fetch(self, key: str) -> list[dict[str, str]]:
        """
        Look something up.

        Args:
            key: What to look up.
        """
        await asyncio.sleep(0)
        return [{"type": "text", "text": f"{key} is "}, {"type": "text", "text": str(self.counter)}]

    def get_reward(self) -> float:
        return float(self.counter)

    def close(self) -> None:
        type(self).closed += 1

    def _hidden(self) -> None:
        raise AssertionError


class Judged(Counter):
    """A subclass, which is a class of its own for rewards; its reward is async."""

    def reset(self, answer: str) -> list[dict[str, str]]:
        self.answer = answer
        return [{"type": "text", "text": " Look."}]

    async def get_reward(self) -> float:
        await asyncio.sleep(0)
        return 0.5


class Troubled:
    """Everything that a tool can do wrong."""

    def reset(self, trouble: str = "") -> Any:
        if trouble == "raise":
            raise ConnectionError("no server")
        if trouble == "hang":
            RELEASE.wait(60)
        return 3 if trouble == "number" else None

    def fail(self, kind: str) -> Any:
        """
        Fail.

        Args:
            kind: How.
        """
        if kind == "raise":
            raise ValueError("bad luck")
        if kind == "silent":
            raise RuntimeError
        if kind == "exit":
            sys.exit(3)
        if kind == "kill":
            os._exit(3)
        if kind == "hang":
            RELEASE.wait(60)
        if kind == "busy":
            time.sleep(60)
        return "y" * 10_000_000

    async def wait(self, stubborn: bool) -> str:
        """
        Wait.

        Args:
            stubborn: Whether to wait on after having been cancelled.
        """
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not stubborn:
                raise
            await asyncio.sleep(0.2)
        return "late"


class Unfit:
    """No environment: nothing resets it."""


class Undescribed(Counter):
    def act(self, step):
        """Act."""


def multiply(a: int, b: int) -> int:
    """
    Multiplies two integers.

    Args:
        a: The first integer.
        b: The second integer.

    Returns:
        The product.
    """
    return a * b


async def divide(a: int, b: int) -> float:
    """
    Divides two integers.

    Args:
        a: The first integer.
        b: The second integer.
    """
    await asyncio.sleep(0)
    return a / b


def increment(step: int) -> int:
    """
    Has the name of a method of Counter.

    Args:
        step: How far.
    """
    return step


def raising() -> Any:
    raise OSError("no licence")


number = 3

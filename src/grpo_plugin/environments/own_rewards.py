"""Rewards that environments give their own episodes, by `get_reward()`."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from grpo_plugin.environments.call_thread import CallThread, Outcome
from grpo_plugin.environments.instances import Instance


@dataclass(frozen=True)
class OwnReward:
    """A reward function of TRL's form: `(environments, **columns)`, None for episodes of other classes.

    It is async where the class's `get_reward` is.
    """

    name: str
    function: Callable[..., Any]


def own_rewards(kinds: Iterable[type[Any]]) -> list[OwnReward]:
    """One for every class that has `get_reward`; a subclass is another class.

    Of classes with the same name, all but the first get a number behind it.
    """
    found: dict[str, OwnReward] = {}
    for kind in dict.fromkeys(kinds):
        if hasattr(kind, "get_reward"):
            names = (kind.__name__, *(f"{kind.__name__}_{number}" for number in range(2, len(found) + 2)))
            name = next(name for name in names if name not in found)
            found[name] = OwnReward(name, _function(kind))
    return list(found.values())


def _function(kind: type[Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(kind.get_reward):

        async def get_rewards(environments: list[Any], **_columns: Any) -> list[float | None]:
            awaited = iter(await asyncio.gather(*(one.get_reward() for one in environments if type(one) is kind)))
            return [next(awaited) if type(one) is kind else None for one in environments]

        return get_rewards

    def get_reward(environments: list[Any], **_columns: Any) -> list[float | None]:
        asked = [_submitted(one) if type(one) is kind else None for one in environments]
        return [None if one is None else _returned(one) for one in asked]

    return get_reward


def _submitted(value: Any) -> "Future[Outcome]":
    """The reward of an instance, computed in the thread that makes all its calls, beside those of others."""
    holder = Instance.holding(value)
    thread = CallThread() if holder is None else holder.thread
    future = thread.submit(value.get_reward)
    if holder is None:
        thread.end()
    return future


def _returned(future: "Future[Outcome]") -> float:
    result, error = future.result()
    if error is not None:
        raise error
    reward: float = result
    return reward

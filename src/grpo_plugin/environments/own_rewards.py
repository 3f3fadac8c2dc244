"""Rewards that environments give their own episodes, by `get_reward()`."""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from grpo_plugin.environments.call_thread import CallThread, Outcome
from grpo_plugin.environments.instances import Instance
from grpo_plugin.environments.limited_calls import CallFailed, in_loop
from grpo_plugin.errors import RewardError


@dataclass(frozen=True)
class OwnReward:
    """A reward function of TRL's form: `(environments, **columns)`, None for episodes of other classes.

    It is async where the class's `get_reward` is.
    """

    name: str
    function: Callable[..., Any]


class RewardTimeout(RewardError, TimeoutError):
    """A `get_reward` took too long."""


def own_rewards(kinds: Iterable[type[Any]], seconds: float) -> list[OwnReward]:
    """One for every class that has `get_reward`; a subclass is another class.

    An instance is asked once in an episode, and may take `seconds` to answer (`environments.reset_timeout`). Of classes
    with the same name, all but the first get a number behind it.
    """
    found: dict[str, OwnReward] = {}
    for kind in dict.fromkeys(kinds):
        if hasattr(kind, "get_reward"):
            names = (kind.__name__, *(f"{kind.__name__}_{number}" for number in range(2, len(found) + 2)))
            name = next(name for name in names if name not in found)
            found[name] = OwnReward(name, _function(kind, seconds))
    return list(found.values())


def _function(kind: type[Any], seconds: float) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(kind.get_reward):

        async def get_rewards(environments: list[Any], **_columns: Any) -> list[float | None]:
            awaited = (_awaited(one, seconds) for one in environments if type(one) is kind)
            outcomes = iter(await asyncio.gather(*awaited))
            return [_reward(next(outcomes)) if type(one) is kind else None for one in environments]

        return get_rewards

    def get_reward(environments: list[Any], **_columns: Any) -> list[float | None]:
        deadline = time.monotonic() + seconds
        asked = [(one, _submitted(one)) if type(one) is kind else None for one in environments]
        outcomes = [None if one is None else _waited_for(*one, deadline, seconds) for one in asked]
        return [None if outcome is None else _reward(outcome) for outcome in outcomes]

    return get_reward


def _submitted(value: Any) -> "Future[Outcome]":
    """The reward of an instance, computed in the thread that makes all its calls, beside those of others."""
    holder = Instance.holding(value)
    if holder is not None and holder.reward is not None:
        known: Future[Outcome] = Future()
        known.set_result(holder.reward)
        return known
    thread = CallThread() if holder is None else holder.thread
    future = thread.submit(value.get_reward)
    if holder is None:
        thread.end()
    return future


def _waited_for(value: Any, future: "Future[Outcome]", deadline: float, seconds: float) -> Outcome:
    holder = Instance.holding(value)
    try:
        outcome = future.result(max(deadline - time.monotonic(), 0))
    except TimeoutError:
        outcome = None, _too_late(value, seconds)
        if holder is not None:
            holder.give_up()
    return _kept(holder, outcome)


async def _awaited(value: Any, seconds: float) -> Outcome:
    holder = Instance.holding(value)
    if holder is not None and holder.reward is not None:
        return holder.reward
    try:
        return _kept(holder, (await in_loop(value.get_reward, seconds), None))
    except CallFailed as error:
        if error.kind == "timeout":
            return _kept(holder, (None, _too_late(value, seconds)))
        return _kept(holder, (None, error.__cause__ or error))


def _kept(holder: Instance | None, outcome: Outcome) -> Outcome:
    """The outcome, which the instance keeps for this episode: scoring asks again for each when one of a batch fails."""
    if holder is not None:
        holder.reward = outcome
    return outcome


def _too_late(value: Any, seconds: float) -> RewardTimeout:
    return RewardTimeout(
        f"environments: {type(value).__name__}.get_reward() took longer than environments.reset_timeout "
        f"({seconds:g} s); allow more, or make it quicker."
    )


def _reward(outcome: Outcome) -> float:
    result, error = outcome
    if error is not None:
        raise error
    reward: float = result
    return reward

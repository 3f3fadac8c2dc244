"""Calling one reward function in this process: on a whole batch, on one completion, on all side by side."""

import time
from typing import Any

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import signature, verdicts
from grpo_plugin.scoring.async_loop import wait_for, wait_for_each
from grpo_plugin.scoring.completions import Batch
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.verdicts import Outcome


def judge_whole(reward: Reward, batch: Batch, timeout: float | None = None) -> list[Outcome]:
    """The outcomes of one call for all completions; their time is shared out evenly.

    `timeout` (seconds) ends async functions; others are stopped from outside.

    Raises:
        RewardError: the function raised, or did not return one finite number per completion.
    """
    began = time.perf_counter()
    try:
        returned = _call(reward, batch)
        if reward.is_async:
            returned = wait_for(returned, timeout)
    except Exception as error:
        raise _named(reward, error) from error
    return _outcomes(reward, returned, batch, time.perf_counter() - began)


def judge_one(reward: Reward, batch: Batch, row: int) -> Outcome:
    """The outcome of one completion by itself; a failure is part of the outcome."""
    began = time.perf_counter()
    try:
        [outcome] = judge_whole(reward, batch.take([row]))
        return outcome
    except RewardError as error:
        return _failed(error, batch, row, time.perf_counter() - began)


def judge_side_by_side(reward: Reward, batch: Batch, timeout: float) -> list[Outcome]:
    """The outcomes of an async function called on every completion by itself, all at once."""
    parts = [batch.take([row]) for row in range(len(batch))]
    outcomes = []
    answers = wait_for_each([_call(reward, part) for part in parts], timeout)
    for row, (part, returned) in enumerate(zip(parts, answers, strict=True)):
        try:
            if isinstance(returned, BaseException):
                raise _named(reward, returned) from returned
            outcomes += _outcomes(reward, returned, part, 0.0)
        except RewardError as error:
            outcomes.append(_failed(error, batch, row, timeout))
    return outcomes


def _call(reward: Reward, batch: Batch) -> Any:
    return signature.call(reward.signature, reward.function, batch, reward.kwargs)


def _outcomes(reward: Reward, returned: Any, batch: Batch, seconds: float) -> list[Outcome]:
    judged = verdicts.check(reward.where, returned, batch)
    share = seconds / max(len(batch), 1)
    return [
        Outcome(score, {key: values[row] for key, values in judged.parts.items()}, seconds=share)
        for row, score in enumerate(judged.scores)
    ]


def _named(reward: Reward, error: BaseException) -> RewardError:
    """The same failure as an error that says which function is to blame."""
    if isinstance(error, RewardError):
        return error
    if reward.is_async and isinstance(error, TimeoutError):
        return RewardError(f"{reward.where}: did not answer within its time limit.")
    return RewardError(f"{reward.where}: raised {type(error).__name__}: {error}")


def _failed(error: RewardError, batch: Batch, row: int, seconds: float) -> Outcome:
    """The outcome of a failure, with the completion named."""
    lost = isinstance(error.__cause__, (MemoryError, TimeoutError))
    where, message = batch.where(row), str(error)
    return Outcome(None, error=message if where in message else f"{message} on {where}", lost=lost, seconds=seconds)

"""Calling one reward function in this process: on a whole batch, on one completion, on all of them concurrently."""

import multiprocessing
import signal
import time
from typing import Any

from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import signature, verdicts
from grpo_plugin.scoring.async_loop import wait_for, wait_for_each
from grpo_plugin.scoring.completions import CompletionBatch
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.side_effects import contained
from grpo_plugin.scoring.time_limit import Interrupted
from grpo_plugin.scoring.verdicts import Outcome

# The exit codes with which the run's own signal handlers end the trainer.
_STOPPED_BY_SIGNAL = frozenset(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


def score_batch(reward: Reward, batch: CompletionBatch, timeout: float | None = None) -> list[Outcome]:
    """The outcomes of one call for all completions; each gets an even share of its seconds.

    Args:
        timeout: seconds after which an async function is cancelled; others are stopped from outside.

    Raises:
        RewardError: the function raised, called `sys.exit()`, or did not return one finite number per completion.
    """
    began = time.perf_counter()
    try:
        with contained():
            returned = _call(reward, batch)
            if reward.is_async:
                returned = wait_for(returned, timeout)
    except BaseException as error:
        if _is_meant_for_the_run(error):
            raise
        raise _with_name(reward, error) from error
    return _outcomes(reward, returned, batch, time.perf_counter() - began)


def score_one(reward: Reward, batch: CompletionBatch, row: int) -> Outcome:
    """The outcome of one completion by itself; a failure is part of the outcome."""
    began = time.perf_counter()
    try:
        [outcome] = score_batch(reward, batch.take([row]))
        return outcome
    except RewardError as error:
        return _failed(error, batch, row, time.perf_counter() - began)


def score_concurrently(reward: Reward, batch: CompletionBatch, timeout: float) -> list[Outcome]:
    """The outcomes of an async function called on every completion by itself, all at once; `timeout` for each."""
    parts = [batch.take([row]) for row in range(len(batch))]
    with contained():
        answers = wait_for_each([_call(reward, part) for part in parts], timeout)
    outcomes = []
    for row, (part, returned) in enumerate(zip(parts, answers, strict=True)):
        try:
            if isinstance(returned, BaseException):
                raise _with_name(reward, returned) from returned
            outcomes += _outcomes(reward, returned, part, 0.0)
        except RewardError as error:
            outcomes.append(_failed(error, batch, row, timeout))
    return outcomes


def _call(reward: Reward, batch: CompletionBatch) -> Any:
    return signature.call(reward.signature, reward.function, batch, reward.kwargs)


def _is_meant_for_the_run(error: BaseException) -> bool:
    """Whether it must end the run: Ctrl-C, a time limit, or the exit of a trainer that got a signal during the call."""
    if isinstance(error, SystemExit):
        return multiprocessing.parent_process() is None and error.code in _STOPPED_BY_SIGNAL
    return isinstance(error, KeyboardInterrupt | Interrupted)


def _outcomes(reward: Reward, returned: Any, batch: CompletionBatch, seconds: float) -> list[Outcome]:
    checked = verdicts.check(reward.where, returned, batch)
    each = seconds / max(len(batch), 1)
    return [
        Outcome(score, {key: values[row] for key, values in checked.parts.items()}, seconds=each)
        for row, score in enumerate(checked.scores)
    ]


def _with_name(reward: Reward, error: BaseException) -> RewardError:
    """The same failure as an error that names the function."""
    if isinstance(error, RewardError):
        return error
    if reward.is_async and isinstance(error, TimeoutError):
        return RewardError(f"{reward.where}: did not answer within its time limit.")
    return RewardError(f"{reward.where}: raised {type(error).__name__}: {error}")


def _failed(error: RewardError, batch: CompletionBatch, row: int, seconds: float) -> Outcome:
    """The outcome of a failure, with the completion named."""
    lost = isinstance(error.__cause__, (MemoryError, TimeoutError))
    where, message = batch.where(row), str(error)
    return Outcome(None, error=message if where in message else f"{message} on {where}", lost=lost, seconds=seconds)

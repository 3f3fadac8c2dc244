"""Reward functions in worker processes: a time limit that ends the work, and a crash that costs one completion."""

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import worker
from grpo_plugin.scoring.completions import CompletionBatch
from grpo_plugin.scoring.processes import ENDED_WITH_ZERO, MarkedPool, start_pool
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.verdicts import Outcome, allowed_failures

# Work is handed out in pieces of about this many seconds, so that its transport costs little and all workers are busy.
_PIECE_SECONDS = 0.05
_PIECES_PER_WORKER = 4
_PROBE = 8
_GIB = 2**30
_START_SECONDS = 120.0
# A worker that dies before pebble knew which work it had breaks the pool, and with it the work of all others.
_BROKEN_POOLS = 3


@dataclass(frozen=True)
class _Task:
    rows: Sequence[int]
    future: ProcessFuture[list[Outcome]]


class WorkerPool:
    """Worker processes for the functions of one recipe; safe to use from any thread."""

    def __init__(self, rewards: Sequence[Reward], config: RewardsConfig, base_dir: Path) -> None:
        self._functions = [(reward.index, reward.config) for reward in rewards]
        self._config = config
        self._base_dir = base_dir
        self._lock = threading.Lock()
        self._cost: dict[int, float] = {}  # seconds per completion, by function
        self._pool = self._start()

    def score(self, reward: Reward, batch: CompletionBatch) -> list[Outcome]:
        """The outcome of every completion, in order; each completion is scored by itself.

        A completion that crashed its worker or passed a time limit has an error and no score; once more failed than
        `rewards.max_failed` allows, the others are not scored.
        """
        deadline = time.monotonic() + self._config.batch_timeout
        outcomes: dict[int, Outcome] = {}
        rows = list(range(len(batch)))
        for part in self._parts(reward, rows):
            self._run(reward, batch, self._pieces(reward, part), outcomes, deadline)
            self._cost[reward.index] = _median([outcomes[row].seconds for row in part if row in outcomes])
        left = Outcome(None, error=f"{reward.where}: not scored, as too many others failed", lost=True)
        return [outcomes.get(row, left) for row in rows]

    def score_together(self, reward: Reward, batch: CompletionBatch) -> list[Outcome]:
        """The same for a function that compares completions: one call for the whole batch."""
        limit = self._config.batch_timeout
        part = batch.take(range(len(batch)), reward.signature.columns(batch.columns))
        future = self._schedule(worker.score_together, limit, reward.index, part, limit)
        try:
            return future.result()
        except RewardError:
            raise
        except Exception as error:
            why = f"{reward.where}: {self._reason(error, limit)} on a whole batch"
            return [Outcome(None, error=why, lost=True, seconds=limit)] * len(batch)

    def wait_until_ready(self) -> None:
        """Return when a worker answers, so that a measurement does not count the start of processes.

        Raises:
            RewardError: no worker came up.
        """
        try:
            self._schedule(worker.ping, _START_SECONDS).result(timeout=_START_SECONDS)
        except Exception as error:
            raise RewardError(
                f"rewards.workers: no worker process answered within {_START_SECONDS:g} s ({self._reason(error, 0)}); "
                "set rewards.workers to 0 to score in the trainer's process."
            ) from error

    def depends_on_batch(self, reward: Reward, batch: CompletionBatch) -> bool:
        """Whether a function scores completions differently together and one by one; False where it fails.

        Raises:
            RewardError: the function is broken, and `rewards.on_error` is raise.
        """
        part = batch.take(range(len(batch)), reward.signature.columns(batch.columns))
        limit = self._config.timeout * 2
        try:
            return bool(self._schedule(worker.depends_on_batch, limit, reward.index, part, limit).result())
        except RewardError:
            if self._config.on_error == "raise":
                raise
            return False
        except Exception:
            # Scoring the batch will fail too, with an error that names the completion.
            return False

    def close(self) -> None:
        """End all workers, whatever they are doing, and the processes that they left running."""
        with self._lock:
            self._pool.end()

    def _start(self) -> MarkedPool:
        memory = int(self._config.memory_gb * _GIB)
        return start_pool(self._config.workers, memory, worker.prepare, self._functions, self._base_dir)

    def _parts(self, reward: Reward, rows: list[int]) -> list[list[int]]:
        """A function of unknown cost is tried on a few completions first."""
        if reward.index in self._cost or len(rows) <= _PROBE:
            return [rows]
        return [rows[:_PROBE], rows[_PROBE:]]

    def _pieces(self, reward: Reward, rows: list[int]) -> list[list[int]]:
        cost = self._cost.get(reward.index)
        even_share = math.ceil(len(rows) / (self._config.workers * _PIECES_PER_WORKER))
        size = 1 if cost is None else max(1, min(even_share, int(_PIECE_SECONDS / max(cost, 1e-6))))
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def _run(
        self,
        reward: Reward,
        batch: CompletionBatch,
        pieces: list[list[int]],
        outcomes: dict[int, Outcome],
        deadline: float,
        broken_pools: int = 0,
    ) -> None:
        """Score pieces of a batch into `outcomes`.

        A piece that failed as a whole is scored again row by row, and so is what a broken pool left undone.
        """
        if self._gives_up(outcomes, len(batch)):
            return
        tasks = [self._task(reward, batch, piece) for piece in pieces]
        again: list[list[int]] = []
        broken = False
        for task in tasks:
            try:
                found = task.future.result(timeout=max(deadline - time.monotonic(), 0.001))
                outcomes.update(zip(task.rows, found, strict=True))
            except Exception as error:
                innocent = isinstance(error, BrokenProcessPool) and broken_pools < _BROKEN_POOLS
                broken |= innocent
                if (innocent or len(task.rows) > 1) and time.monotonic() < deadline:
                    again += [[row] for row in task.rows]
                    continue
                outcomes |= self._lost(reward, batch, task, error, deadline)
                if self._gives_up(outcomes, len(batch)):
                    break
        for task in tasks:
            task.future.cancel()  # nothing for those that are done
        if again:
            self._run(reward, batch, again, outcomes, deadline, broken_pools + broken)

    def _lost(
        self, reward: Reward, batch: CompletionBatch, task: _Task, error: Exception, deadline: float
    ) -> dict[int, Outcome]:
        """The outcomes of a task that did not finish, by row."""
        limit = self._config.timeout
        why = "the batch's time limit passed" if time.monotonic() >= deadline else self._reason(error, limit)
        return {
            row: Outcome(None, error=f"{reward.where}: {why} on {batch.where(row)}", lost=True, seconds=limit)
            for row in task.rows
        }

    def _gives_up(self, outcomes: dict[int, Outcome], size: int) -> bool:
        return sum(outcome.lost for outcome in outcomes.values()) > allowed_failures(self._config, size)

    def _task(self, reward: Reward, batch: CompletionBatch, rows: list[int]) -> _Task:
        part = batch.take(rows, reward.signature.columns(batch.columns))
        limit = self._config.timeout
        return _Task(rows, self._schedule(worker.score_each, limit, reward.index, part, limit))

    def _schedule(self, function: Any, limit: float, *arguments: Any) -> "ProcessFuture[Any]":
        """Hand work to the pool; a pool that broke down is replaced."""
        with self._lock:
            if not self._pool.active:
                self._pool.end()
                self._pool = self._start()
            return self._pool.schedule(function, args=arguments, timeout=limit)

    def _reason(self, error: BaseException, limit: float) -> str:
        if isinstance(error, TimeoutError):
            return f"took longer than rewards.timeout ({limit:g} s)"
        if isinstance(error, ProcessExpired):
            code = 0 if error.exitcode == ENDED_WITH_ZERO else error.exitcode
            return f"ended its worker process (exit code {code}; a crash, or more than rewards.memory_gb)"
        if isinstance(error, CancelledError):
            return "was cancelled"
        return f"failed in its worker process ({type(error).__name__}: {error})"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0

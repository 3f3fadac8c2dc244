"""Where a reward function runs: in the trainer's process or in the workers, whichever a measurement favours."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import time_limit
from grpo_plugin.scoring.completions import Batch
from grpo_plugin.scoring.judging import judge_one, judge_side_by_side, judge_whole
from grpo_plugin.scoring.pool import WorkerPool
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.verdicts import Outcome, Verdicts, collect

log = logging.getLogger(__name__)

# What a function must have shown in the workers before the trainer trusts it: so many completions without a failure,
# none of them slow, and batches shorter than this share of a completion's time limit.
_TRUSTED = 64
_SLOW_COMPLETION = 0.1
_SHORT_BATCH = 0.25
_COMPARED = 4


@dataclass
class _State:
    place: Literal["unknown", "trainer", "workers"]
    whole_batch: bool
    movable: bool
    judged: int = 0


class Runner:
    """Calls reward functions; owns the worker pool, which starts when the first function needs it."""

    def __init__(self, rewards: list[Reward], config: RewardsConfig, base_dir: Path) -> None:
        self._config = config
        self._base_dir = base_dir
        self._states = {reward.index: self._first_state(reward) for reward in rewards}
        for reward in rewards:
            if self._states[reward.index].place == "trainer":
                reward.warm_up()
        away = [reward for reward in rewards if self._states[reward.index].place != "trainer"]
        self._pool = WorkerPool(away, config, base_dir) if away else None

    def place(self, reward: Reward) -> str:
        """Where `reward` runs now: unknown, trainer or workers."""
        return self._states[reward.index].place

    def judge(self, reward: Reward, batch: Batch) -> Verdicts:
        """The verdicts of one function on a batch, failures included.

        Raises:
            RewardError: a function that judges the whole batch at once is broken.
        """
        state = self._states[reward.index]
        began = time.perf_counter()
        if self._pool is None or state.place == "trainer":
            outcomes = self._in_trainer(reward, state, batch)
        else:
            outcomes = self._in_workers(self._pool, reward, state, batch)
        return collect(outcomes, time.perf_counter() - began)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def _first_state(self, reward: Reward) -> _State:
        if self._config.workers == 0 or reward.trainer_only:
            return _State("trainer", reward.config.whole_batch, movable=False)
        place: Literal["unknown", "trainer", "workers"] = "unknown"
        if reward.config.run != "auto":
            place = reward.config.run
        return _State(place, reward.config.whole_batch, movable=place == "unknown")

    def _in_trainer(self, reward: Reward, state: _State, batch: Batch) -> list[Outcome]:
        """One call for the batch; a function that is cheap as a rule may still meet the input that stops it."""
        if state.movable and not time_limit.can_interrupt():
            assert self._pool is not None
            return self._pool.judge(reward, batch)
        if reward.is_async:
            return self._async(reward, state, batch)
        limit = min(self._config.timeout, self._config.batch_timeout) if state.movable else self._config.batch_timeout
        try:
            with time_limit.interrupt_after(limit):
                return judge_whole(reward, batch)
        except time_limit.Interrupted:
            return self._after_interruption(reward, state, batch, limit)
        except RewardError:
            if state.whole_batch:
                raise
            outcomes = [judge_one(reward, batch, row) for row in range(len(batch))]
            if all(outcome.error is None for outcome in outcomes):
                raise
            return outcomes

    def _async(self, reward: Reward, state: _State, batch: Batch) -> list[Outcome]:
        """One call for the batch; if it fails, one for each completion, all at once, to find the one to blame."""
        try:
            return judge_whole(reward, batch, self._config.batch_timeout)
        except RewardError:
            if state.whole_batch:
                raise
            return judge_side_by_side(reward, batch, self._config.timeout)

    def _after_interruption(self, reward: Reward, state: _State, batch: Batch, limit: float) -> list[Outcome]:
        if not state.movable:
            raise RewardError(
                f"{reward.where}: took longer than {limit:g} s for {len(batch)} completions in the trainer's process; "
                "set rewards.workers to 1 or more, so that a single completion can be given up."
            )
        log.warning("%s took longer than %g s in the trainer's process and moves to the workers", reward.where, limit)
        assert self._pool is not None
        state.place, state.movable = "workers", False
        return self._pool.judge(reward, batch)

    def _in_workers(self, pool: WorkerPool, reward: Reward, state: _State, batch: Batch) -> list[Outcome]:
        if state.place == "unknown":
            pool.wait_until_ready()
            state.place = "workers"
            state.whole_batch = state.whole_batch or self._compares_completions(pool, reward, batch)
        if state.whole_batch:
            return pool.judge_together(reward, batch)
        began = time.perf_counter()
        outcomes = pool.judge(reward, batch)
        self._consider_move(reward, state, outcomes, time.perf_counter() - began)
        return outcomes

    def _consider_move(self, reward: Reward, state: _State, outcomes: list[Outcome], wall: float) -> None:
        """To the trainer, where the work took less than getting it to the workers and back; never after a failure."""
        if any(outcome.error for outcome in outcomes):
            state.movable = False
        if not (state.movable and outcomes):
            return
        state.judged += len(outcomes)
        seconds = [outcome.seconds for outcome in outcomes]
        cheap = sum(seconds) < min(wall, _SHORT_BATCH * self._config.timeout) and max(seconds) < _SLOW_COMPLETION
        if cheap and state.judged >= _TRUSTED:
            reward.warm_up()
            state.place = "trainer"

    def _compares_completions(self, pool: WorkerPool, reward: Reward, batch: Batch) -> bool:
        if not pool.depends_on_batch(reward, batch.take(range(min(_COMPARED, len(batch))))):
            return False
        log.warning(
            "%s scores completions differently together and one by one: it is given whole batches, without a time "
            "limit per completion; say whole_batch: true if that is meant",
            reward.where,
        )
        return True

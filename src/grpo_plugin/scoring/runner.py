"""Where a reward function runs: in worker processes, or in the trainer's own process."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RewardError
from grpo_plugin.scoring import time_limit
from grpo_plugin.scoring.calling import score_batch, score_concurrently, score_one
from grpo_plugin.scoring.completions import CompletionBatch
from grpo_plugin.scoring.pool import WorkerPool
from grpo_plugin.scoring.reward import Reward
from grpo_plugin.scoring.verdicts import Outcome, Verdicts, collect

log = logging.getLogger(__name__)

Place = Literal["trainer", "workers"]

_COMPARED = 4


@dataclass
class _State:
    place: Place
    whole_batch: bool
    compared: bool = False  # whether it was checked that the function scores completions the same one by one


class Runner:
    """Calls reward functions; owns the worker pool, if a function needs it."""

    def __init__(self, rewards: list[Reward], config: RewardsConfig, base_dir: Path) -> None:
        self._config = config
        self._states = {reward.index: _State(self._place(reward), reward.config.whole_batch) for reward in rewards}
        away = [reward for reward in rewards if self.place(reward) == "workers"]
        for reward in rewards:
            if self.place(reward) == "trainer":
                reward.warm_up()
        self._pool = WorkerPool(away, config, base_dir) if away else None

    def place(self, reward: Reward) -> Place:
        """Where `reward` runs. It never changes: a function in a worker can neither end nor block the trainer."""
        return self._states[reward.index].place

    def score(self, reward: Reward, batch: CompletionBatch) -> Verdicts:
        """The verdicts of one function on a batch, failures included.

        Raises:
            RewardError: a function that scores the whole batch at once is broken.
        """
        state = self._states[reward.index]
        began = time.perf_counter()
        if self._pool is None or state.place == "trainer":
            outcomes = self._in_trainer(reward, state, batch)
        else:
            outcomes = self._in_workers(self._pool, reward, state, batch)
        return collect(outcomes, time.perf_counter() - began)

    def close(self) -> None:
        """End the worker processes and what they started."""
        if self._pool is not None:
            self._pool.close()

    def _place(self, reward: Reward) -> Place:
        if self._config.workers == 0 or reward.trainer_only or reward.config.run == "trainer":
            return "trainer"
        return "workers"

    def _in_trainer(self, reward: Reward, state: _State, batch: CompletionBatch) -> list[Outcome]:
        """One call for the batch; if it fails, one for each completion, to find the one on which it does."""
        if reward.is_async:
            return self._async(reward, state, batch)
        limit = self._config.batch_timeout
        try:
            with time_limit.interrupt_after(limit):
                return score_batch(reward, batch)
        except time_limit.Interrupted:
            raise RewardError(
                f"{reward.where}: took longer than {limit:g} s for {len(batch)} completions in the trainer's process; "
                "set rewards.workers to 1 or more, so that a single completion can be given up."
            ) from None
        except RewardError:
            if state.whole_batch:
                raise
            outcomes = [score_one(reward, batch, row) for row in range(len(batch))]
            if all(outcome.error is None for outcome in outcomes):
                raise
            return outcomes

    def _async(self, reward: Reward, state: _State, batch: CompletionBatch) -> list[Outcome]:
        """One call for the batch; if it fails, one for each completion, all at once."""
        try:
            return score_batch(reward, batch, self._config.batch_timeout)
        except RewardError:
            if state.whole_batch:
                raise
            return score_concurrently(reward, batch, self._config.timeout)

    def _in_workers(self, pool: WorkerPool, reward: Reward, state: _State, batch: CompletionBatch) -> list[Outcome]:
        if not state.compared:
            pool.wait_until_ready()
            state.compared = True
            state.whole_batch = state.whole_batch or self._compares_completions(pool, reward, batch)
        return pool.score_together(reward, batch) if state.whole_batch else pool.score(reward, batch)

    def _compares_completions(self, pool: WorkerPool, reward: Reward, batch: CompletionBatch) -> bool:
        if not pool.depends_on_batch(reward, batch.take(range(min(_COMPARED, len(batch))))):
            return False
        log.warning(
            "%s scores completions differently together and one by one: it is given whole batches, without a time "
            "limit per completion; say whole_batch: true if that is meant",
            reward.where,
        )
        return True

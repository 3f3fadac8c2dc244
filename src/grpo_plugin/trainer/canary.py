"""After each weight sync: vLLM's log-probabilities of its own tokens against the trainer's."""

from dataclasses import replace

from accelerate.utils import gather_object

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.logp_gap import FLOAT32_LIMIT, LIMIT, Gap, check, check_jump, logp_gap
from grpo_plugin.trainer.generator import Generator
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout import Rollout, completion_mask, padded

PROBE_TOKENS = 32  # of each completion that a probe asks for


class Canary:
    """Stops the run when vLLM does not generate with the policy's weights. Collective.

    Checks each version of the weights once; `check` does nothing where the version was checked already.
    """

    def __init__(
        self, policy: Policy, generator: Generator, config: RolloutConfig, metrics: Metrics, *, float32: bool = False
    ) -> None:
        """`float32`: trainer and server both compute in it, so that they differ by rounding alone."""
        self._policy, self._generator, self._config, self._metrics = policy, generator, config, metrics
        self._limit = config.max_logp_gap or (FLOAT32_LIMIT if float32 else LIMIT)
        self._checked = 0
        self._first: Gap | None = None  # of the first version that was checked, which no update has changed
        self._updated = False  # whether a second one was checked

    def check(self, rollouts: list[Rollout]) -> None:
        """Compare on a few rollouts of the newest version; without any, the next batch is compared.

        Raises:
            RolloutError: the mean gap is over `rollout.max_logp_gap`, or rose by orders with the first update.
        """
        version = self._generator.backend.version
        fresh = [r for r in rollouts if r.policy_version == version and r.sampler_logps]
        if self._checked == version or not fresh:
            return
        most = self._config.canary_samples * self._policy.accelerator.num_processes
        fresh = fresh[:: max(1, len(fresh) // most)][:most]  # spread over as many prompts as possible
        mask = completion_mask(fresh)
        ours = padded(self._policy.compute_logps(fresh), mask.shape[1])
        theirs = padded([rollout.sampler_logps or () for rollout in fresh], mask.shape[1])
        gap = logp_gap(ours, theirs, mask)
        self._metrics.add("rollout/logp_gap", gap.mean, of_batch=True)
        self._metrics.add("rollout/logp_gap_max", gap.max, of_batch=True)
        check(gap, self._limit, version)
        if self._first is None:
            self._first = gap
        elif not self._updated:
            self._updated = True
            check_jump(self._first, gap, version)
        self._checked = version

    def probe(self, prompts: PromptSampler, rows: list[int]) -> None:
        """Sample short completions of a few of `rows` from vLLM, and compare as `check` does.

        Raises:
            RolloutError: as `check`.
        """
        if self._checked == self._generator.backend.version:
            return
        first = self._policy.accelerator.process_index * self._config.canary_samples
        mine = rows[first : first + self._config.canary_samples]
        sampling = self._generator.sampling
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, PROBE_TOKENS))
        groups = self._generator.generate([prompts.row(row) for row in mine], 1, sampling)
        rollouts = [
            Rollout(row, group.prompt_ids, answer.token_ids, answer.logps, answer.finish_reason, answer.version)
            for row, group in zip(mine, groups, strict=True)
            for answer in group.completions
        ]
        self.check(gather_object(rollouts))

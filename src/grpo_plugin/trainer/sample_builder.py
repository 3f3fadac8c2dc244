"""From rollouts to training samples: advantages, and the log-probabilities that their loss needs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from grpo_plugin.algorithms import advantages as estimators
from grpo_plugin.algorithms import overlong
from grpo_plugin.algorithms.entropy import highest_entropy
from grpo_plugin.algorithms.kl import kl
from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.trainer.kl_coefficient import KlCoefficient
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.micro_batches import assign_micro_batches, optimizer_steps
from grpo_plugin.trainer.policy import Policy
from grpo_plugin.trainer.rollout import Rollout, completion_mask, rewards_of
from grpo_plugin.trainer.training_sample import MicroBatch, TrainingSample, stacked


class SampleBuilder:
    """Builds the training samples of whole rollout batches. Collective where it runs a model.

    Args:
        group_size: completions per prompt.
        reward_weights: (R,) of the reward functions, for estimators that weigh them.
        max_completion_length: in tokens, for the overlong penalty.
        reused: a batch is trained on for several optimizer steps, so that its log-probabilities are kept.
    """

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm,
        kl_coef: KlCoefficient,
        metrics: Metrics,
        *,
        group_size: int,
        reward_weights: Sequence[float],
        max_completion_length: int,
        reused: bool,
    ) -> None:
        self.algorithm = algorithm
        self._policy, self._kl_coef, self._metrics = policy, kl_coef, metrics
        self._group_size, self._reward_weights = group_size, reward_weights
        self._max_completion_length, self._reused = max_completion_length, reused

    @property
    def needs_baselines(self) -> bool:
        """Whether `build` needs the rewards of greedy completions (ReMax)."""
        return "baselines" in estimators.inputs(self.algorithm.preset.advantage)

    def build(self, rollouts: Sequence[Rollout], baselines: Sequence[float] | None = None) -> list[TrainingSample]:
        """A training sample of each rollout, in order.

        Args:
            baselines: (B,) rewards of the greedy completion of each rollout's prompt.
        """
        if not rollouts:
            return []
        found = self._policy.compute(rollouts) if self.algorithm.kl_in_reward else None
        old = None if found is None else [logps for logps, _ in found]
        ref = self._policy.ref_logps(rollouts) if self.algorithm.kl_in_reward else None
        advantages = self._advantages(rollouts, baselines, old, ref)
        samples = [
            TrainingSample(
                rollout,
                advantages[i, : len(rollout.completion_ids)],
                old_logps=None if old is None else old[i],
                ref_logps=None if ref is None else ref[i],
                masked=self._masked(rollout),
            )
            for i, rollout in enumerate(rollouts)
        ]
        if found is None:
            self._add_logps(self.trainable(samples))
        else:
            of_rollout = {id(rollout): entropies for rollout, (_, entropies) in zip(rollouts, found, strict=True)}
            trainable = self.trainable(samples)
            self._mask_low_entropy(trainable, [of_rollout[id(sample.rollout)] for sample in trainable])
        return samples

    def micro_batches(
        self, samples: Sequence[TrainingSample], steps: int, accumulation_steps: int
    ) -> list[list[MicroBatch]]:
        """This rank's micro-batches in each accumulation step of `steps` optimizer steps."""
        accelerator = self._policy.accelerator
        found: list[list[MicroBatch]] = []
        for step in optimizer_steps(len(samples), steps):
            of_step = [samples[index] for index in step]
            trainable = self.trainable(of_step)
            denominator = self.denominator(of_step)
            tokens = sum(sample.rollout.tokens for sample in trainable)
            shares = assign_micro_batches(
                [sample.rollout.tokens for sample in trainable],
                self._policy.batch_size,
                rank=accelerator.process_index,
                ranks=accelerator.num_processes,
                accumulation_steps=accumulation_steps,
            )
            found += [
                [
                    MicroBatch([trainable[i] for i in indices], trainable[0].rollout, denominator, tokens)
                    for indices in share
                ]
                for share in shares
            ]
        return found

    def trainable(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """Those that need a forward pass: their advantage is not 0, or there is a KL in the loss."""
        return [
            sample
            for sample in samples
            if sample.rollout.completion_ids
            and not sample.masked
            and (self.algorithm.kl_in_loss or sample.advantages.any())
        ]

    def denominator(self, samples: Sequence[TrainingSample]) -> float:
        """What the loss of an optimizer step over these samples is divided by: tokens or completions, at least 1."""
        if self.algorithm.preset.loss_average != "token":
            return float(max(1, len(samples)))
        return float(max(1, sum(sample.rollout.sampled_tokens for sample in samples if not sample.masked)))

    def _add_logps(self, samples: Sequence[TrainingSample]) -> None:
        """Log-probabilities before the first optimizer step, where the loss needs them."""
        rollouts = [sample.rollout for sample in samples]
        if self._reused or self.algorithm.entropy_share < 1:
            found = self._policy.compute(rollouts)
            for sample, (logps, _) in zip(samples, found, strict=True):
                sample.old_logps = logps if self._reused else None
            self._mask_low_entropy(samples, [entropies for _, entropies in found])
        if self.algorithm.kl_in_loss and self.algorithm.preset.kl_estimator != "full":
            for sample, logps in zip(samples, self._policy.ref_logps(rollouts), strict=True):
                sample.ref_logps = logps

    def _mask_low_entropy(self, samples: Sequence[TrainingSample], entropies: Sequence[Tensor]) -> None:
        """Restrict the policy gradient to the tokens of highest entropy, before the batch's first optimizer step.

        They are chosen among the tokens that the policy sampled, as in TRL; a tool's have no entropy.
        """
        if self.algorithm.entropy_share < 1 and samples:
            sampled = [sample.rollout.sampled for sample in samples]
            of_policy = [row[mask] for row, mask in zip(entropies, sampled, strict=True)]
            chosen = highest_entropy(of_policy, self.algorithm.entropy_share)
            for sample, mask, highest in zip(samples, sampled, chosen, strict=True):
                sample.policy_mask = mask.masked_scatter(mask, highest)

    def _advantages(
        self,
        rollouts: Sequence[Rollout],
        baselines: Sequence[float] | None,
        old: Sequence[Tensor] | None,
        ref: Sequence[Tensor] | None,
    ) -> Tensor:
        """(B, T)."""
        preset, config = self.algorithm.preset, self.algorithm.config
        mask = completion_mask(rollouts)
        logps, ref_logps = (None if rows is None else stacked(rows, mask.shape[1]) for rows in (old, ref))
        options = dict(config.advantage_options)
        if "tolerance" in estimators.inputs(preset.advantage):
            options.setdefault("tolerance", config.tolerance)
        values = estimators.compute(
            preset.advantage,
            rewards=rewards_of(rollouts),
            group_size=self._group_size,
            mask=mask,
            baselines=None if baselines is None else torch.tensor(baselines, dtype=torch.float64),
            rewards_per_function=torch.tensor([rollout.scores for rollout in rollouts], dtype=torch.float64),
            reward_weights=torch.tensor(self._reward_weights, dtype=torch.float64),
            overlong=self._overlong(rollouts),
            overlong_factor=config.overlong_factor,
            logps=logps,
            ref_logps=ref_logps,
            kl_coef=0.0 if ref is None else self._kl_coef.value,
            kl_estimator=preset.kl_estimator,
            **options,
        )
        if logps is not None and ref_logps is not None:
            self._add_kl(logps, ref_logps, mask)
        return (values.unsqueeze(1).expand(mask.shape) if values.dim() == 1 else values).float()

    def _overlong(self, rollouts: Sequence[Rollout]) -> Tensor | None:
        """(B,) soft overlong penalties (DAPO, arXiv 2503.14476, equation 13), 0 or less; None where there are none."""
        if self.algorithm.preset.overlong != "soft":
            return None
        longest = self._max_completion_length
        buffer = self.algorithm.buffer(longest)
        penalties = [overlong.soft_penalty(len(rollout.completion_ids), longest, buffer) for rollout in rollouts]
        return torch.tensor(penalties, dtype=torch.float64)

    def _add_kl(self, logps: Tensor, ref_logps: Tensor, mask: Tensor) -> None:
        values = kl(logps, ref_logps, self.algorithm.preset.kl_estimator)
        if self._policy.accelerator.is_main_process:  # every rank has all rollouts: counted once
            self._metrics.add("kl", (values * mask).sum() / mask.sum(), mask.sum())

    def _masked(self, rollout: Rollout) -> bool:
        """Whether it is left out of loss and average: without a reward, or truncated with `overlong: mask`."""
        return rollout.reward != rollout.reward or (self.algorithm.preset.overlong == "mask" and rollout.truncated)

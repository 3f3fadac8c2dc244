"""The loss of a micro-batch: the share it has in the loss of its optimizer step."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from grpo_plugin.algorithms.correction import sampler_weights
from grpo_plugin.algorithms.losses import policy_loss
from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.config.algorithm import Correction
from grpo_plugin.trainer.kl_coefficient import KlCoefficient
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.policy import Outputs, Policy
from grpo_plugin.trainer.rollout import Rollout, completion_mask, dummy, padded
from grpo_plugin.trainer.training_sample import MicroBatch

FusedLoss = Callable[[nn.Module, MicroBatch, Tensor], Tensor]

_LOGGED_AS = {"kl/ref": "kl"}  # as TRL logs it


class PolicyLoss:
    """The algorithm's loss of micro-batches.

    Args:
        correction: settings of the importance weights between sampler and trainer; None for no weights.
        max_completion_length: in tokens; what a loss averaged by a constant divides each completion by, unless
            `algorithm.loss_constant` is set.
        balance_coef: of the load-balancing loss of a mixture of experts.
        fused: a kernel that computes loss and log-probabilities in one (Liger), in place of ours.
    """

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm,
        kl_coef: KlCoefficient,
        metrics: Metrics,
        *,
        correction: Correction | None,
        max_completion_length: int,
        balance_coef: float = 0.0,
        fused: FusedLoss | None = None,
    ) -> None:
        self._policy, self._algorithm, self._kl_coef, self._metrics = policy, algorithm, kl_coef, metrics
        self._correction, self._balance_coef, self._fused = correction, balance_coef, fused
        self._constant = algorithm.config.loss_constant or max_completion_length

    def __call__(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """The loss (a scalar); gradients are averaged over ranks afterwards.

        Args:
            model: the policy as it is wrapped for training.
        """
        device = self._policy.accelerator.device
        if not batch.samples:  # every rank joins the collectives of the backward pass
            rollouts = [dummy(batch.dummy)]
            outputs = self._forward(model, rollouts, completion_mask(rollouts, device))
            return outputs.logps.sum() * 0.0 + (0.0 if outputs.balance is None else outputs.balance * 0.0)
        mask = completion_mask(batch.rollouts, device)
        if self._fused is not None:
            return self._fused(model, batch, mask)
        outputs = self._forward(model, batch.rollouts, mask)
        loss, metrics = self._loss(batch, outputs, mask)
        tokens = mask.sum()
        metrics["entropy"] = torch.where(mask, outputs.entropies.detach(), 0.0).sum() / tokens.clamp(min=1)
        for name, value in metrics.items():
            self._metrics.add(_LOGGED_AS.get(name, name), value, tokens)
        return loss if outputs.balance is None else loss + self._load_balance(batch, outputs.balance)

    def _forward(self, model: nn.Module, rollouts: Sequence[Rollout], mask: Tensor) -> Outputs:
        if self._algorithm.kl_in_loss and self._algorithm.preset.kl_estimator == "full":
            return self._policy.forward_with_divergence(model, rollouts, mask)
        return self._policy.forward(model, rollouts, mask)

    def _loss(self, batch: MicroBatch, outputs: Outputs, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        preset, width = self._algorithm.preset, mask.shape[1]
        old = batch.old_logps(width, mask.device)
        weights, of_weights = self._sampler_weights(batch, outputs.logps.detach() if old is None else old, mask)
        loss, metrics = policy_loss(
            outputs.logps,
            old,
            batch.advantages(width, mask.device),
            mask,
            denominator=batch.denominator / self._policy.accelerator.num_processes,
            constant=self._constant,
            ref_logps=batch.ref_logps(width, mask.device) if self._algorithm.kl_in_loss else None,
            kl_coef=self._kl_coef.value if self._algorithm.kl_in_loss else 0.0,
            kl_estimator=preset.kl_estimator,
            kl_values=outputs.divergence,
            correction=weights,
            policy_mask=batch.policy_mask(width, mask.device),
            **preset.loss_arguments,
        )
        metrics.pop("tokens")
        return loss, {**metrics, **of_weights}

    def _load_balance(self, batch: MicroBatch, balance: Tensor) -> Tensor:
        """The load-balancing loss, averaged over the tokens of the optimizer step, times its coefficient."""
        tokens = sum(rollout.tokens for rollout in batch.rollouts)
        self._metrics.add("aux_loss", balance.detach() / tokens, float(tokens))
        return self._balance_coef * balance / (batch.step_tokens / self._policy.accelerator.num_processes)

    def _sampler_weights(
        self, batch: MicroBatch, logps: Tensor, mask: Tensor
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Importance weights between sampler and trainer; 1 where the sampler's log-probabilities are not known."""
        sampled = [rollout.sampler_logps for rollout in batch.rollouts]
        options = self._correction
        if options is None or all(row is None for row in sampled):
            return None, {}
        known = mask & torch.tensor([row is not None for row in sampled], device=mask.device).unsqueeze(1)
        sampler_logps = padded([row or [] for row in sampled], mask.shape[1], mask.device)
        return sampler_weights(
            logps, sampler_logps, known, level=options.level, mode=options.mode, low=options.low, high=options.high
        )

"""The policy and its reference model, and log-probabilities of rollouts by either, however they are wrapped."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from trl.models.utils import _ForwardRedirection, disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from grpo_plugin.algorithms import forward
from grpo_plugin.algorithms.heads import head_divergence
from grpo_plugin.algorithms.logits import logit_arguments
from grpo_plugin.algorithms.packing import Packed, pack
from grpo_plugin.trainer.micro_batches import BatchSize, Indices, map_over_ranks
from grpo_plugin.trainer.padding import Padded
from grpo_plugin.trainer.rollout import Rollout, completion_mask, dummy, length_mask, padded_ids
from grpo_plugin.trainer.vision import Vision

Batch = Packed | Padded

_redirect = _ForwardRedirection()


class Policy:
    """The model that is trained, wrapped or not (DDP, FSDP, DeepSpeed, PEFT), and what it is held to.

    Args:
        model: the policy.
        reference: the reference model; None where the policy without its adapter is the reference, or none is needed.
        temperature: of sampling; log-probabilities are those of the tempered distribution.
        batch_size: of a forward pass.
        vision: how images are shown; None for a model of text, whose sequences are packed.
        layout: how sequences of text run through the model, one of `algorithms.layouts`.
        checkpointing_kwargs: of gradient checkpointing, which is off where there is no gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        reference: nn.Module | None,
        accelerator: Accelerator,
        *,
        temperature: float,
        batch_size: BatchSize,
        vision: Vision | None = None,
        layout: str = "packed",
        checkpointing_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.accelerator, self.batch_size = model, accelerator, batch_size
        self.temperature, self.vision, self.layout = temperature, vision, layout
        self._reference, self._checkpointing_kwargs = reference, checkpointing_kwargs

    def logps(self, model: nn.Module, rollouts: Sequence[Rollout], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies (B, T) on the tokens of `mask` (B, T), 0 elsewhere; with gradient.

        Args:
            model: the policy as it is wrapped for training, or another model.
        """
        return self._within(model, self._logps_of, self.lay_out(rollouts, mask))

    def logps_and_divergence(
        self, model: nn.Module, rollouts: Sequence[Rollout], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `logps`, and KL(π ‖ π_ref) over the whole vocabulary at each token of `mask` (B, T)."""
        batch = self.lay_out(rollouts, mask)
        with torch.no_grad(), self._as_reference() as reference:
            ref_states = self._within(reference, self._states_of, batch)
            ref_head = forward.output_head(causal(self.accelerator.unwrap_model(reference)))

        def work(core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            unwrapped = causal(core)
            with self.accelerator.autocast():
                states = self._states(unwrapped, batch)
                logps, entropies = forward.states_logprobs(unwrapped, batch, states, temperature=self.temperature)
                divergence = head_divergence(
                    forward.output_head(unwrapped),
                    states,
                    ref_head,
                    ref_states,
                    **logit_arguments(unwrapped, self.temperature),
                )
            return logps, entropies, batch.unpack(divergence)

        return self._within(model, work, batch)

    def compute_logps(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """Log-probabilities (T,) of each rollout's completion by the policy now, on all ranks; without dropout.

        Collective: the ranks share the work.
        """
        return self._map(self.model, rollouts)

    def ref_logps(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """As `compute_logps`, by the reference model."""
        with self._as_reference() as reference:
            return self._map(reference, rollouts)

    def lay_out(self, rollouts: Sequence[Rollout], mask: Tensor) -> Batch:
        """The rollouts as the model takes them; `mask` (B, T) says which log-probabilities are needed."""
        if self.vision is not None:
            return self.vision.padded(rollouts, mask)
        prompts = [rollout.prompt_ids for rollout in rollouts]
        completions = [rollout.completion_ids for rollout in rollouts]
        return pack(
            padded_ids(prompts, mask.device),
            length_mask(prompts, mask.device),
            padded_ids(completions, mask.device),
            length_mask(completions, mask.device),
            mask,
        )

    def _map(self, model: nn.Module, rollouts: Sequence[Rollout]) -> list[Tensor]:
        if not rollouts:
            return []

        def work(micro_batches: Indices) -> dict[int, Tensor]:
            return {k: row for indices in micro_batches for k, row in self._rows(model, rollouts, indices).items()}

        with self._inference(model):
            return map_over_ranks(work, [rollout.tokens for rollout in rollouts], self.batch_size, self.accelerator)

    def _rows(self, model: nn.Module, rollouts: Sequence[Rollout], indices: Sequence[int]) -> dict[int, Tensor]:
        """The log-probabilities of one micro-batch, by index; without a completion in it a dummy is run."""
        filled = [index for index in indices if rollouts[index].completion_ids]
        chosen = [rollouts[index] for index in filled] or [dummy(rollouts[0])]
        logps, _ = self.logps(model, chosen, completion_mask(chosen, self.accelerator.device))
        rows = {index: logps[place, : len(rollouts[index].completion_ids)].cpu() for place, index in enumerate(filled)}
        return {index: torch.zeros(0) for index in indices} | rows

    @contextmanager
    def _inference(self, model: nn.Module) -> Iterator[None]:
        """No gradient, no dropout, and no recomputing of activations, which would only warn."""
        training, core = model.training, self.accelerator.unwrap_model(model)
        model.eval()
        try:
            with torch.no_grad(), disable_gradient_checkpointing(core, self._checkpointing_kwargs):
                yield
        finally:
            model.train(training)

    @contextmanager
    def _as_reference(self) -> Iterator[nn.Module]:
        """The reference: a model of its own, or the policy without its adapter, or with the one it began from."""
        core = self.accelerator.unwrap_model(self.model)
        if self._reference is not None or not hasattr(core, "peft_config"):
            yield self.model if self._reference is None else self._reference
            return
        with use_adapter(core, adapter_name="ref" if "ref" in core.peft_config else None):
            yield self.model

    def _within(self, model: nn.Module, work: Any, batch: Batch) -> Any:
        """Run `work` on the unwrapped model inside a call of its wrapper, whose hooks gather weights and gradients."""
        core = self.accelerator.unwrap_model(model)
        return _redirect(model, core, work, core, batch)

    def _logps_of(self, core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        model = causal(core)
        with self.accelerator.autocast():
            return forward.states_logprobs(model, batch, self._states(model, batch), temperature=self.temperature)

    def _states(self, model: Any, batch: Batch) -> Tensor:
        """Hidden states (K, H) that predict the completion tokens."""
        if isinstance(batch, Padded):
            return batch.states(model)
        return forward.completion_states(model, batch, self.layout)

    def _states_of(self, core: nn.Module, batch: Batch) -> Tensor:
        with self.accelerator.autocast():
            return self._states(causal(core), batch)


def causal(core: nn.Module) -> Any:
    """The transformers model inside an adapter's wrapper, its adapters active."""
    get_base_model = getattr(core, "get_base_model", None)
    return get_base_model() if get_base_model is not None else core

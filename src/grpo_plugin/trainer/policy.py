"""The policy and its reference model, and log-probabilities of rollouts by either, however they are wrapped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list
from torch import Tensor, nn
from trl.models.utils import _ForwardRedirection, disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from grpo_plugin.algorithms import forward, layouts
from grpo_plugin.algorithms.heads import head_divergence
from grpo_plugin.algorithms.layout_choice import Choice, Wrapped, choose_layout
from grpo_plugin.algorithms.layouts import LAYOUTS
from grpo_plugin.algorithms.load_balance import balance_loss
from grpo_plugin.algorithms.logits import logit_arguments
from grpo_plugin.algorithms.packing import Packed, pack
from grpo_plugin.trainer.micro_batches import BatchSize, Indices, map_over_ranks
from grpo_plugin.trainer.padding import Padded
from grpo_plugin.trainer.rollout import Rollout, completion_mask, dummy, length_mask, padded_ids
from grpo_plugin.trainer.vision import Vision

Batch = Packed | Padded

_redirect = _ForwardRedirection()


class Outputs(NamedTuple):
    """What a forward pass gives of B rollouts of at most T completion tokens.

    Attributes:
        logps, entropies: (B, T), in nats.
        balance: the load-balancing loss of a mixture of experts, summed over the tokens of prompts and completions;
            None where there is none.
        divergence: (B, T) KL to the reference model over the whole vocabulary; None where it was not requested.
    """

    logps: Tensor
    entropies: Tensor
    balance: Tensor | None = None
    divergence: Tensor | None = None


class Policy:
    """The model that is trained, wrapped or not (DDP, FSDP, DeepSpeed, PEFT), with its reference model.

    Args:
        model: the policy.
        reference: the reference model; None where the policy without its adapter is the reference, or none is needed.
        temperature: of sampling; log-probabilities are those of the tempered distribution.
        batch_size: of a forward pass.
        vision: the image inputs; None for a text model, whose sequences are packed.
        layout: how sequences of text run through the model, one of `algorithms.layouts`.
        experts_per_token: of a mixture of experts with a load-balancing loss; None without one.
        fp32_head: compute the output head in fp32 (`trl.cast_lm_head_to_fp32`).
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
        experts_per_token: int | None = None,
        fp32_head: bool = False,
        checkpointing_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.accelerator, self.batch_size = model, accelerator, batch_size
        self.temperature, self.vision, self.layout = temperature, vision, layout
        self.experts_per_token, self.fp32_head = experts_per_token, fp32_head
        self._reference, self._checkpointing_kwargs = reference, checkpointing_kwargs

    @property
    def _is_sharded(self) -> bool:
        """Whether each rank holds a part of the weights (DeepSpeed's stages below 3 count as if they did)."""
        return self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)

    def forward(self, model: nn.Module, rollouts: Sequence[Rollout], mask: Tensor) -> Outputs:
        """Log-probabilities and entropies on the tokens of `mask` (B, T), 0 elsewhere; with gradient.

        Args:
            model: the policy as it is wrapped for training, or another model.
        """
        return Outputs(*self._within(model, self._work, self.lay_out(rollouts, mask)))

    def forward_with_divergence(self, model: nn.Module, rollouts: Sequence[Rollout], mask: Tensor) -> Outputs:
        """As `forward`, with KL(π ‖ π_ref) over the whole vocabulary at each token of `mask`."""
        batch = self.lay_out(rollouts, mask)
        with torch.no_grad(), self._as_reference() as reference:
            ref_states, ref_head = self._within(reference, self._states_and_head, batch)

        def work(core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
            unwrapped = causal(core)
            with self.accelerator.autocast():
                states, balance = self._states(core, batch)
                logps, entropies = self._head(unwrapped, batch, states)
                divergence = head_divergence(
                    forward.output_head(unwrapped),
                    states,
                    ref_head,
                    ref_states,
                    **logit_arguments(unwrapped, self.temperature),
                )
            return logps, entropies, balance, batch.unpack(divergence)

        return Outputs(*self._within(model, work, batch))

    def compute(self, rollouts: Sequence[Rollout]) -> list[tuple[Tensor, Tensor]]:
        """Log-probabilities and entropies (T,) of each rollout's completion by the policy now, without dropout.

        Collective: the ranks share the work, and all of them get all results.
        """
        return self._map(self.model, rollouts)

    def compute_logps(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """The log-probabilities of `compute`."""
        return [logps for logps, _ in self.compute(rollouts)]

    def ref_logps(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """As `compute_logps`, by the reference model."""
        with self._as_reference() as reference:
            return [logps for logps, _ in self._map(reference, rollouts)]

    def choose_layout(self, sequences: Sequence[Sequence[int]]) -> Choice | None:
        """Find the first layout whose log-probabilities are the model's own, and use it from now on. Collective.

        Args:
            sequences: token ids, the same on every rank; two or more, at least two tokens each.

        Returns:
            None for a model that takes images, whose rollouts are always padded.

        Raises:
            RecipeError: no layout agrees with the model's own forward.
        """
        if self.vision is not None:
            return None
        # `alone` runs one pass per sequence, and ranks may have different numbers of sequences
        among = [name for name in LAYOUTS if not (self._is_sharded and name == "alone")]

        def call(work: Callable[[Any], Any]) -> Any:
            return self._within(self.model, lambda core, _: work(causal(core)), None)

        with self._inference(self.model), self.accelerator.autocast():
            model = causal(self.accelerator.unwrap_model(self.model))
            wrapped = Wrapped(call, _of_main_process, self.accelerator.device)
            choice = choose_layout(model, sequences, among=among, wrapped=wrapped)
        self.layout = choice.layout
        return choice

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

    def _map(self, model: nn.Module, rollouts: Sequence[Rollout]) -> list[tuple[Tensor, Tensor]]:
        if not rollouts:
            return []

        def work(micro_batches: Indices) -> dict[int, tuple[Tensor, Tensor]]:
            return {k: row for indices in micro_batches for k, row in self._rows(model, rollouts, indices).items()}

        with self._inference(model):
            return map_over_ranks(work, [rollout.tokens for rollout in rollouts], self.batch_size, self.accelerator)

    def _rows(
        self, model: nn.Module, rollouts: Sequence[Rollout], indices: Sequence[int]
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Log-probabilities and entropies of one micro-batch, by index; without a completion in it a dummy is run."""
        filled = [index for index in indices if rollouts[index].completion_ids]
        chosen = [rollouts[index] for index in filled] or [dummy(rollouts[0])]
        found = self.forward(model, chosen, completion_mask(chosen, self.accelerator.device))
        rows = {index: (torch.zeros(0), torch.zeros(0)) for index in indices}
        for place, index in enumerate(filled):
            length = len(rollouts[index].completion_ids)
            rows[index] = found.logps[place, :length].cpu(), found.entropies[place, :length].cpu()
        return rows

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
        """The reference: a model of its own, or the policy without its adapter, or with its initial adapter."""
        core = self.accelerator.unwrap_model(self.model)
        if self._reference is not None or not hasattr(core, "peft_config"):
            yield self.model if self._reference is None else self._reference
            return
        with use_adapter(core, adapter_name="ref" if "ref" in core.peft_config else None):
            yield self.model

    def _within(self, model: nn.Module, work: Any, batch: Any) -> Any:
        """Run `work` on the unwrapped model inside a call of its wrapper, whose hooks gather weights and gradients."""
        core = self.accelerator.unwrap_model(model)
        return _redirect(model, core, work, core, batch)

    def _work(self, core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        with self.accelerator.autocast():
            states, balance = self._states(core, batch)
            return *self._head(causal(core), batch, states), balance

    def _states(self, core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Hidden states (K, H) that predict the completion tokens, and the load-balancing loss of `Outputs`."""
        model = causal(core)
        with self.accelerator.autocast():
            if isinstance(batch, Padded):
                return batch.states(model), None
            found = layouts.run(model, batch, self.layout, routers=self.experts_per_token is not None)
        balance = None
        if self.experts_per_token is not None:
            balance = balance_loss(found.router_logits, batch.lengths, self.experts_per_token, denominator=1.0)
        return found.hidden[batch.sources], balance

    def _states_and_head(self, core: nn.Module, batch: Batch) -> tuple[Tensor, nn.Module]:
        """Hidden states as of `_states`, and the output head; a copy where weights are gathered for this call alone."""
        states, _ = self._states(core, batch)
        head = forward.output_head(causal(core))
        return states, deepcopy(head) if self._is_sharded else head

    def _head(self, model: Any, batch: Batch, states: Tensor) -> tuple[Tensor, Tensor]:
        return forward.states_logprobs(model, batch, states, temperature=self.temperature, fp32=self.fp32_head)


def _of_main_process(found: Any) -> Any:
    """The main process's object, on every rank."""
    return broadcast_object_list([found])[0]


def causal(core: nn.Module) -> Any:
    """The transformers model inside an adapter's wrapper, its adapters active."""
    get_base_model = getattr(core, "get_base_model", None)
    return get_base_model() if get_base_model is not None else core

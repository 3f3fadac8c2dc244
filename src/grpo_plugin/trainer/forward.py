"""Log-probabilities of samples by a model as it is wrapped for training: DDP, FSDP, DeepSpeed, adapters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from trl.models.utils import _ForwardRedirection

from grpo_plugin.algorithms import forward
from grpo_plugin.algorithms.heads import head_divergence
from grpo_plugin.algorithms.logits import logit_arguments
from grpo_plugin.algorithms.packing import Packed, pack
from grpo_plugin.trainer.padding import Padded
from grpo_plugin.trainer.sample import Sample, completion_mask

if TYPE_CHECKING:
    from grpo_plugin.trainer.policy import PolicyTrainer

Batch = Packed | Padded

_redirect = _ForwardRedirection()


def packed(samples: Sequence[Sample], mask: Tensor) -> Packed:
    """The samples end to end; `mask` (B, T) says which tokens' log-probabilities are needed."""
    return pack(
        ids([sample.prompt_ids for sample in samples], mask.device),
        real([sample.prompt_ids for sample in samples], mask.device),
        ids([sample.completion_ids for sample in samples], mask.device),
        real([sample.completion_ids for sample in samples], mask.device),
        mask,
    )


def batch_of(trainer: "PolicyTrainer", samples: Sequence[Sample], mask: Tensor) -> Batch:
    """The samples as the model takes them."""
    return packed(samples, mask) if trainer.vision is None else trainer.vision.padded(samples, mask)


def logps(trainer: "PolicyTrainer", model: nn.Module, samples: Sequence[Sample], mask: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (B, T) on the tokens of `mask`, 0 elsewhere."""

    def work(core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        model = causal(core)
        with trainer.accelerator.autocast():
            return forward.states_logprobs(model, batch, _states(model, batch), temperature=trainer.temperature)

    return _within(trainer, model, work, batch_of(trainer, samples, mask))


def logps_and_divergence(
    trainer: "PolicyTrainer", model: nn.Module, reference: nn.Module, samples: Sequence[Sample], mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As `logps`, and KL(π ‖ π_ref) over the whole vocabulary at each token of `mask` (B, T)."""
    batch = batch_of(trainer, samples, mask)

    def states(core: nn.Module, batch: Batch) -> Tensor:
        with trainer.accelerator.autocast():
            return _states(causal(core), batch)

    with torch.no_grad(), trainer.as_reference():
        ref_states = _within(trainer, reference, states, batch)
    ref_head = forward.output_head(causal(trainer.accelerator.unwrap_model(reference)))

    def work(core: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        model = causal(core)
        with trainer.accelerator.autocast():
            hidden = _states(model, batch)
            logps, entropies = forward.states_logprobs(model, batch, hidden, temperature=trainer.temperature)
            divergence = head_divergence(
                forward.output_head(model),
                hidden,
                ref_head,
                ref_states,
                **logit_arguments(model, trainer.temperature),
            )
        return logps, entropies, batch.unpack(divergence)

    return _within(trainer, model, work, batch)


def causal(core: nn.Module) -> Any:
    """The transformers model inside an adapter's wrapper, its adapters at work."""
    get_base_model = getattr(core, "get_base_model", None)
    return get_base_model() if get_base_model is not None else core


@torch.no_grad()
def values_of(
    trainer: "PolicyTrainer", model: nn.Module, samples: Sequence[Sample], passes: Sequence[Sequence[int]]
) -> dict[int, Tensor]:
    """Log-probabilities of all completion tokens of some samples, by index; a pass without any is run for its peers."""
    found: dict[int, Tensor] = {}
    for indices in passes:
        found |= {index: torch.zeros(0) for index in indices}
        filled = [index for index in indices if samples[index].completion_ids]
        chosen = [samples[index] for index in filled] or [shortened(samples[0])]
        values, _ = logps(trainer, model, chosen, completion_mask(chosen, trainer.accelerator.device))
        for place, index in enumerate(filled):
            found[index] = values[place, : len(samples[index].completion_ids)].cpu()
    return found


def shortened(sample: Sample) -> Sample:
    """The cheapest sample there is, for a rank that has none to run beside its peers."""
    first = sample.prompt_ids[:1]
    return Sample(**{**vars(sample), "prompt_ids": first, "completion_ids": sample.completion_ids[:1] or first})


def _states(model: Any, batch: Batch) -> Tensor:
    return batch.states(model) if isinstance(batch, Padded) else forward.completion_states(model, batch)


def _within(trainer: "PolicyTrainer", model: nn.Module, work: Any, batch: Batch) -> Any:
    """Run `work` on the unwrapped model inside a call of its wrapper, whose hooks gather weights and gradients."""
    core = trainer.accelerator.unwrap_model(model)
    return _redirect(model, core, work, core, batch)


def ids(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Token ids (B, L), padded on the right."""
    padded = torch.zeros(len(rows), max(1, max(map(len, rows))), dtype=torch.long)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.as_tensor(row, dtype=torch.long)
    return padded.to(device)


def real(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """(B, L), true where `ids` is not padding."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return torch.arange(max(1, int(lengths.max())), device=device) < lengths.unsqueeze(1)

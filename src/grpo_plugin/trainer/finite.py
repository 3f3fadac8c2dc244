"""Loss, gradients and weights are finite, or the run stops: before the optimizer's step, and before a save."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from grpo_plugin.errors import TrainingError

_REMEDY = (
    "lower learning_rate or max_grad_norm, train in bf16 or fp32 rather than fp16, and check an algorithm.loss or "
    "algorithm.advantage of your own."
)
_NOT_TAKEN = "so the step was not taken and nothing was saved after it"


def check_loss(loss: Tensor, step: int, accelerator: Accelerator) -> None:
    """Stop before the optimizer's step where the loss () of `step` is not finite, on any rank. Collective.

    Raises:
        TrainingError: it is not.
    """
    finite = accelerator.reduce(loss.isfinite().float(), reduction="sum")
    if finite.item() < accelerator.num_processes:
        raise TrainingError(f"the loss of step {step} is not a finite number, {_NOT_TAKEN}; {_REMEDY}")


def check_gradients(norm: Any, step: int) -> None:
    """Stop before the optimizer's step where the norm of the gradients, a tensor () or a number, is not finite.

    Raises:
        TrainingError: it is not.
    """
    if norm is not None and not math.isfinite(figure := float(norm)):
        raise TrainingError(f"the gradients of step {step} have the norm {figure}, {_NOT_TAKEN}; {_REMEDY}")


def check_weights(model: nn.Module, step: int, accelerator: Accelerator) -> None:
    """Stop before a save where a trained weight of the model after `step` is not finite, on any rank. Collective.

    Each rank looks at the part of the weights that it holds.

    Raises:
        TrainingError: one is not.
    """
    broken = [name for name, finite in _finite_by_name(model).items() if not finite]
    count = accelerator.reduce(torch.tensor(float(len(broken)), device=accelerator.device), reduction="sum")
    if count.item():
        first = f", among them {broken[0]}" if broken else ""
        raise TrainingError(
            f"after step {step} the model's weights are not finite in {count.item():.0f} tensors{first}, so it was not "
            f"saved; the last checkpoint is as it was; {_REMEDY}"
        )


def _finite_by_name(model: nn.Module) -> dict[str, bool]:
    """For each trained parameter whether all its elements on this rank are finite; one wait for the device."""
    trained = {name: _local(weight) for name, weight in model.named_parameters() if weight.requires_grad}
    if not trained:
        return {}
    finite = torch.stack([weight.isfinite().all() for weight in trained.values()]).tolist()
    return dict(zip(trained, finite, strict=True))


def _local(weight: Tensor) -> Tensor:
    """This rank's part of a parameter that FSDP divides; the parameter itself otherwise."""
    local: Tensor = getattr(weight, "_local_tensor", weight)
    return local.detach()

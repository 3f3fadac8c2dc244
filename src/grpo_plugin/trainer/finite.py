"""Loss, gradients and weights are finite, or the run stops: before the optimizer's step, and before a save.

DeepSpeed takes the step within the backward pass, before the gradients can be looked at; the loss is looked at first.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
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


def check_gradients(norm: Any, step: int, *, taken: bool = False) -> None:
    """Stop where the norm of the gradients, a tensor () or a number, is not finite.

    Args:
        taken: the optimizer's step was taken with them, as DeepSpeed does within the backward pass.

    Raises:
        TrainingError: it is not.
    """
    if norm is not None and not math.isfinite(figure := float(norm)):
        then = "with which DeepSpeed took the step, so nothing was saved after it" if taken else _NOT_TAKEN
        raise TrainingError(f"the gradients of step {step} have the norm {figure}, {then}; {_REMEDY}")


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
    """This rank's part of a parameter that FSDP or ZeRO-3 divides; the parameter itself otherwise."""
    if hasattr(weight, "ds_tensor"):
        return _zero3_part(weight)
    local: Tensor = getattr(weight, "_local_tensor", weight)
    return local.detach()


def _zero3_part(weight: Any) -> Tensor:
    """Without the padding at the end, which is not initialised; empty where the part is on a disk."""
    part: Tensor = weight.ds_tensor.detach().flatten()
    before = dist.get_rank(weight.ds_process_group) * weight.ds_tensor.ds_numel
    return part[: max(0, weight.ds_numel - before)]

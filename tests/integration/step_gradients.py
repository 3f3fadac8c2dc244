"""Run by torchrun on gloo: the gradient of one optimizer step, for several losses and splits, in a file.

torchrun --nproc_per_node=2 step_gradients.py OUT.pt [divided]

Each rank has a whole copy of the model (DDP), or a part of it (`divided`: FSDP 2).
"""

import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from trl.models.utils import prepare_fsdp

from grpo_plugin.compat import cpu_ranks
from tests.unit.trainer.rollouts import make_step, rollouts

BLOCKS: dict[str, dict[str, Any]] = {
    "token": {"name": "dapo", "dynamic_sampling": False},
    "sequence": {"name": "grpo", "kl_coef": 0.1},
    "constant": {"name": "dr_grpo"},
    "kl in the reward": {"name": "reinforce_plus_plus", "kl_coef": 0.1},
    "kl over the vocabulary": {"name": "grpo", "kl_coef": 0.1, "kl_estimator": "full"},
}
SPLITS = [(1, 4), (3, 1), (2, 2)]  # completions per micro-batch, accumulation steps


def gradient(
    accelerator: Accelerator, block: dict[str, Any], completions: int, accumulation_steps: int
) -> torch.Tensor:
    step = make_step(block, accelerator=accelerator, completions=completions, reused=True)
    parameters = list(step.policy.model.parameters())
    wrapped = prepared(accelerator, step.policy)
    shares = step.micro_batches(rollouts(), accumulation_steps=accumulation_steps)
    micro_batches = [batch for share in shares for batch in share]
    for index, batch in enumerate(micro_batches):
        with nullcontext() if index == len(micro_batches) - 1 else accelerator.no_sync(wrapped):
            accelerator.backward(step.loss(wrapped, batch))
    gradients = [parameter.grad for parameter in wrapped.parameters()]
    assert len(gradients) == len(parameters)
    whole = [gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient for gradient in gradients]
    return torch.cat([gradient.flatten() for gradient in whole])


def prepared(accelerator: Accelerator, policy: Any) -> Any:
    """The policy's model as training wraps it; a divided one comes with its reference, as from TRL."""
    if not accelerator.is_fsdp2:
        return accelerator.prepare_model(policy.model)
    optimizer = torch.optim.SGD(policy.model.parameters())
    policy.model, _ = accelerator.prepare(policy.model, optimizer)
    policy._reference = prepare_fsdp(policy._reference, accelerator)
    return policy.model


def divided() -> Accelerator:
    cpu_ranks.apply(SimpleNamespace(device_map=None))
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Qwen2DecoderLayer"],
        reshard_after_forward=True,
    )
    return Accelerator(cpu=True, fsdp_plugin=plugin)


def main() -> None:
    accelerator = divided() if "divided" in sys.argv else Accelerator(cpu=True)
    found = {(name, split): gradient(accelerator, block, *split) for name, block in BLOCKS.items() for split in SPLITS}
    if accelerator.is_main_process:
        torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()

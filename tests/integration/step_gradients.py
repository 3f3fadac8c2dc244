"""Run by torchrun on gloo: the gradient of one optimizer step under DDP, for several losses and splits, in a file.

torchrun --nproc_per_node=2 step_gradients.py OUT.pt
"""

import sys
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator

from tests.unit.trainer.rollouts import make_step, rollouts

BLOCKS: dict[str, dict[str, Any]] = {
    "token": {"name": "dapo", "dynamic_sampling": False},
    "sequence": {"name": "grpo", "kl_coef": 0.1},
    "constant": {"name": "dr_grpo"},
    "kl in the reward": {"name": "reinforce_plus_plus", "kl_coef": 0.1},
}
SPLITS = [(1, 4), (3, 1), (2, 2)]  # completions per micro-batch, accumulation steps


def gradient(
    accelerator: Accelerator, block: dict[str, Any], completions: int, accumulation_steps: int
) -> torch.Tensor:
    step = make_step(block, accelerator=accelerator, completions=completions, reused=True)
    wrapped = accelerator.prepare_model(step.policy.model)
    shares = step.micro_batches(rollouts(), accumulation_steps=accumulation_steps)
    micro_batches = [batch for share in shares for batch in share]
    for index, batch in enumerate(micro_batches):
        with nullcontext() if index == len(micro_batches) - 1 else accelerator.no_sync(wrapped):
            accelerator.backward(step.loss(wrapped, batch))
    return torch.cat([parameter.grad.flatten() for parameter in step.policy.model.parameters()])


def main() -> None:
    accelerator = Accelerator(cpu=True)
    found = {(name, split): gradient(accelerator, block, *split) for name, block in BLOCKS.items() for split in SPLITS}
    if accelerator.is_main_process:
        torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()

"""Run by torchrun on gloo: the gradient of one optimizer step under DDP, for several losses and splits, in a file.

torchrun --nproc_per_node=2 step_gradients.py OUT.pt
"""

import sys
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from grpo_plugin.trainer.update import Update, dealt
from tests.unit.trainer.test_update import Stand, samples

BLOCKS: dict[str, dict[str, Any]] = {
    "token": {"name": "dapo", "dynamic_sampling": False},
    "sequence": {"name": "grpo", "kl_coef": 0.1},
    "constant": {"name": "dr_grpo"},
    "kl in the reward": {"name": "reinforce_plus_plus", "kl_coef": 0.1},
}
SPLITS = [{"micro": 1, "ticks": 4}, {"micro": 3, "ticks": 1}, {"micro": 2, "ticks": 2}]


def gradient(accelerator: Accelerator, block: dict[str, Any], split: dict[str, int]) -> torch.Tensor:
    stand: Any = Stand(block, rank=accelerator.process_index, ranks=accelerator.num_processes, **split)
    stand.accelerator = accelerator
    stand.model = accelerator.prepare_model(stand.model)
    stand.share = lambda work, given: {
        index: value for part in gather_object([work(stand.deal(given, ticks=1)[0])]) for index, value in part.items()
    }
    update = Update(stand, stand.algorithm, differs=False)
    passes = [one for tick in dealt(stand, update, update.lessons(samples(), None, reused=True), 1) for one in tick]
    for index, batch in enumerate(passes):
        with nullcontext() if index == len(passes) - 1 else accelerator.no_sync(stand.model):
            accelerator.backward(update.loss(stand.model, batch))
    model = accelerator.unwrap_model(stand.model)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def main() -> None:
    accelerator = Accelerator(cpu=True)
    found = {
        (name, index): gradient(accelerator, block, split)
        for name, block in BLOCKS.items()
        for index, split in enumerate(SPLITS)
    }
    if accelerator.is_main_process:
        torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()

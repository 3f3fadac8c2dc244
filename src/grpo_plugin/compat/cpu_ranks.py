"""Lets several ranks train without GPUs (gloo), which tests of distributed code need.

Defect: Axolotl 0.19 puts rank 1 on device 1 whatever the machine has. Goes when its `choose_device` handles CPUs.
Such a run is started with `ACCELERATE_USE_CPU=true axolotl train RECIPE --launcher torchrun -- --nproc_per_node=2`;
accelerate's own launcher starts one process on a machine without GPUs, whatever --num-processes says.
"""

import os
from typing import Any


def apply(cfg: Any) -> None:
    """Put every rank's model on the CPU where there is nothing else; called before the model is loaded."""
    import torch

    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.cuda.is_available():
        cfg.device_map = {"": "cpu"}

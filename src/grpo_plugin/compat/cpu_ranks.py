"""Lets several ranks train without GPUs (gloo), which tests of distributed code need.

Defects: Axolotl 0.19 puts rank 1 on device 1 whatever the machine has; goes when its `choose_device` handles CPUs.
accelerate calls the device of a rank `cpu:0`, to which torch 2.13 restores no optimizer's state ("don't know how to
restore data location"), so that such a run could not be resumed; goes when `torch.load` takes that name.
Such a run is started with `ACCELERATE_USE_CPU=true axolotl train RECIPE --launcher torchrun -- --nproc_per_node=2`;
accelerate's own launcher starts one process on a machine without GPUs, whatever --num-processes says.
"""

import os
from typing import Any

PRIORITY = 100  # behind torch's own
_loads = False


def apply(cfg: Any) -> None:
    """Put every rank's model on the CPU where there is nothing else; called before the model is loaded."""
    import torch

    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.cuda.is_available():
        cfg.device_map = {"": "cpu"}
        _let_torch_load_to_numbered_cpus()


def _let_torch_load_to_numbered_cpus() -> None:
    """`torch.load(…, map_location="cpu:0")` is as "cpu"; idempotent."""
    import torch

    global _loads
    if not _loads:
        torch.serialization.register_package(PRIORITY, lambda storage: None, _restored)
        _loads = True


def _restored(storage: Any, location: str) -> Any:
    """The storage where it is; None, for torch to ask elsewhere, for a location that is no numbered CPU."""
    return storage if location.startswith("cpu:") else None

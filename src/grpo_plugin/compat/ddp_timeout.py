"""Makes `ddp_timeout` the time limit, in seconds, of what the processes of a run do together.

Defects: Axolotl 0.19 does not give the key to the training arguments of RL runs, which make the process group; and
transformers 5.16 makes the group without the limit where it trains on CPUs. Goes when both are mended.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any


def training_arguments(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The field of the training arguments; empty without the key."""
    return {"ddp_timeout": int(cfg["ddp_timeout"])} if cfg.get("ddp_timeout") else {}


def apply(cfg: Mapping[str, Any]) -> None:
    """Make the process group of several CPU processes with the limit, before the training arguments do; idempotent."""
    import torch
    from accelerate import PartialState

    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if several and cfg.get("ddp_timeout") and not torch.cuda.is_available() and not torch.distributed.is_initialized():
        PartialState(cpu=True, timeout=timedelta(seconds=int(cfg["ddp_timeout"])))

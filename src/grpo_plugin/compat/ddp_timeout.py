"""Makes `ddp_timeout` the time limit of what the processes of a run do together.

Defect: Axolotl 0.19 hands the key to its process group by a variable, AXOLOTL_NCCL_TIMEOUT, which it sets after the
group is made, and does not give it to the training arguments of RL runs. Goes when it sets the variable first.
"""

import os
from collections.abc import Mapping
from typing import Any


def apply(cfg: Mapping[str, Any]) -> None:
    """Set the variable, before the process group is made; what the user has set stays."""
    if cfg.get("ddp_timeout"):
        os.environ.setdefault("AXOLOTL_NCCL_TIMEOUT", str(cfg["ddp_timeout"]))


def training_arguments(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The field of the training arguments; empty without the key."""
    return {"ddp_timeout": int(cfg["ddp_timeout"])} if cfg.get("ddp_timeout") else {}

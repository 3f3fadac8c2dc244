"""Corrects `axolotl.train` for GRPO runs, and finds out which of Axolotl's commands a process runs.

Defects: Axolotl 0.19 loads the whole model a second time as a reference for every full fine-tuning run
(`setup_reference_model`), though TRL's GRPOTrainer takes none and loads its own if a KL needs one; goes when Axolotl
skips it for rl: grpo. With FSDP's `state_dict_type: SHARDED_STATE_DICT`, which suits checkpoints, it saves no model
at the end but where a checkpoint is at hand; goes when it saves one. It registers plugins for every command without
saying which one runs; goes when `register` gets the command.
"""

import sys
from pathlib import Path
from typing import Any


def is_training() -> bool:
    """Whether this process trains: plugins are registered for inference, merging and preprocessing, too."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith("axolotl.cli."):
        return spec.name == "axolotl.cli.train"
    return Path(sys.argv[0]).name != "axolotl" or "train" in sys.argv[1:2]


def save_whole_model(cfg: Any) -> None:
    """The model that FSDP divided is saved whole at the end, unless the recipe says otherwise; idempotent."""
    if cfg.get("fsdp_config") and not cfg["fsdp_config"].get("final_state_dict_type"):
        cfg["fsdp_config"]["final_state_dict_type"] = "FULL_STATE_DICT"


def skip_reference_model() -> None:
    """Load no reference model for GRPO; idempotent."""
    import axolotl.train

    stock = axolotl.train.setup_reference_model
    if getattr(stock, "skips_grpo", False):
        return

    def setup_reference_model(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        return None if cfg.rl in ("grpo", "gdpo") else stock(cfg, *args, **kwargs)

    setup_reference_model.skips_grpo = True  # type: ignore[attr-defined]
    axolotl.train.setup_reference_model = setup_reference_model

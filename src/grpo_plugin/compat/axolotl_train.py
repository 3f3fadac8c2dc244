"""Mends `axolotl.train` for GRPO runs; applied once, by the first of our plugins.

Defect: Axolotl 0.19 loads the whole model a second time as a reference for every full fine-tuning run
(`setup_reference_model`), though TRL's GRPOTrainer takes none and loads its own if a KL asks for one. Goes when
Axolotl skips it for rl: grpo.
"""

from typing import Any


def apply() -> None:
    """Skip the second load for GRPO; idempotent."""
    import axolotl.train

    stock = axolotl.train.setup_reference_model
    if getattr(stock, "skips_grpo", False):
        return

    def setup_reference_model(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        return None if cfg.rl in ("grpo", "gdpo") else stock(cfg, *args, **kwargs)

    setup_reference_model.skips_grpo = True  # type: ignore[attr-defined]
    axolotl.train.setup_reference_model = setup_reference_model

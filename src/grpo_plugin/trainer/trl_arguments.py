"""From recipe and algorithm to the fields of TRL's GRPOConfig that TRL itself still reads."""

from collections.abc import Mapping
from typing import Any

from grpo_plugin.algorithms.settings import Algorithm
from grpo_plugin.recipe.axolotl_keys import TRL_OPTIONS


def training_arguments(algorithm: Algorithm, uses_liger: bool, dtype: str = "") -> dict[str, Any]:
    """`beta` decides whether TRL loads a reference model, which has the policy's `dtype`; the loss is ours, or Liger's.

    Raises:
        RecipeError: Liger has no such loss.
    """
    fields: dict[str, Any] = {"beta": algorithm.preset.kl_coef, "vllm_importance_sampling_correction": False}
    if algorithm.uses_reference and dtype in ("bfloat16", "float16"):
        fields["model_init_kwargs"] = {"dtype": dtype}
    if uses_liger:
        from grpo_plugin.trainer import liger

        fields |= liger.arguments(algorithm)
    return fields


def forwarded(trl: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of `trl:` that Axolotl 0.19 does not give to TRL: it drops them, or does not know them."""
    mappings = {name: dict(trl[name]) for name in ("chat_template_kwargs", "generation_kwargs") if trl.get(name)}
    names = TRL_OPTIONS - {"top_entropy_quantile"}  # which is the algorithm's: TRL's loss is not used
    return mappings | {name: trl[name] for name in sorted(names) if trl.get(name) is not None}

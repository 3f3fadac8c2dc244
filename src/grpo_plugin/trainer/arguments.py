"""From the algorithm to the fields of TRL's GRPOConfig that TRL itself still reads."""

from typing import Any

from grpo_plugin.trainer.algorithm import Algorithm


def training_arguments(algorithm: Algorithm) -> dict[str, Any]:
    """`beta` decides whether TRL loads a reference model; the loss itself is ours."""
    return {"beta": algorithm.preset.kl_coef, "vllm_importance_sampling_correction": False}

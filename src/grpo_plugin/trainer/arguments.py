"""From the `algorithm:` block to the fields of TRL's GRPOConfig."""

from typing import Any

from grpo_plugin.config.algorithm import AlgorithmConfig


def training_arguments(algorithm: AlgorithmConfig) -> dict[str, Any]:
    """GRPOConfig fields; a key the block leaves open keeps the recipe's `trl:` value, or TRL's default."""
    fields: dict[str, Any] = {"loss_type": algorithm.name, "beta": algorithm.kl_coef}
    if algorithm.clip_low is not None:
        fields["epsilon"] = algorithm.clip_low
    if algorithm.clip_high is not None:
        fields["epsilon_high"] = algorithm.clip_high
    return fields

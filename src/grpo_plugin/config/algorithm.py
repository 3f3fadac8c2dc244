"""The `algorithm:` block: which policy-gradient algorithm trains the policy."""

from typing import Annotated, Literal

from pydantic import Field

from grpo_plugin.config.base import Block

# TRL's loss types, as TRL defines them.
LossName = Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"]


class AlgorithmConfig(Block):
    name: Annotated[LossName, Field(description="The algorithm.")] = "grpo"
    clip_low: Annotated[float | None, Field(gt=0, description="Lower clip range of the ratio.")] = None
    clip_high: Annotated[float | None, Field(gt=0, description="Upper clip range of the ratio.")] = None
    kl_coef: Annotated[float, Field(ge=0, description="Weight of the KL to the reference model; 0 loads none.")] = 0.0

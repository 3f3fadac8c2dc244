"""The `validation:` block: how often and how the policy is judged on held-out prompts."""

from typing import Annotated

from pydantic import Field

from grpo_plugin.config.base import Block


class ValidationConfig(Block):
    before_train: Annotated[bool, Field(description="Validate once before the first step.")] = True
    every: Annotated[int | None, Field(ge=1, description="Validate every so many optimizer steps.")] = None
    after_train: Annotated[bool, Field(description="Validate once after the last step.")] = True
    samples: Annotated[int, Field(ge=1, description="Sampled completions per held-out prompt.")] = 1
    greedy: Annotated[bool, Field(description="Also one greedy completion per held-out prompt.")] = True
    metric: Annotated[
        str | None, Field(description="Name of the reward function that is the accuracy; by default the first.")
    ] = None
    max_prompts: Annotated[int | None, Field(ge=1, description="Use at most so many held-out prompts.")] = None

"""The `rewards:` block: which functions judge a completion, and how they are run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from grpo_plugin.config.base import Block


class RewardFunction(Block):
    function: Annotated[str, Field(min_length=1, description="Dotted path, or path/to/file.py:name.")]
    weight: Annotated[float, Field(description="Factor in the weighted total.", allow_inf_nan=False)] = 1.0
    kwargs: Annotated[dict[str, Any], Field(description="Keyword arguments given to every call.")] = {}
    name: Annotated[str | None, Field(description="Name in metrics and logs; by default the function's own.")] = None


class RewardsConfig(Block):
    functions: Annotated[list[RewardFunction], Field(min_length=1, description="At least one reward function.")]
    workers: Annotated[
        int, Field(ge=0, description="Worker processes for costly functions; 0 runs all in the trainer.")
    ] = 0
    timeout: Annotated[float, Field(gt=0, description="Seconds one completion may take to score.")] = 10.0
    on_error: Annotated[
        Literal["raise", "exclude"], Field(description="A broken grader stops the run, or its completion is excluded.")
    ] = "raise"

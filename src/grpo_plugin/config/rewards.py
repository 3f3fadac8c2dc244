"""The `rewards:` block: which functions judge a completion, and how they are run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from grpo_plugin.config.base import Block


class RewardFunction(Block):
    function: Annotated[
        str, Field(min_length=1, description="Dotted path, path/to/file.py:name, or a Hugging Face reward model.")
    ]
    weight: Annotated[float, Field(description="Factor in the weighted total.", allow_inf_nan=False)] = 1.0
    kwargs: Annotated[dict[str, Any], Field(default_factory=dict, description="Keyword arguments given to every call.")]
    name: Annotated[str | None, Field(description="Name in metrics and logs; by default the function's own.")] = None
    run: Annotated[
        Literal["auto", "trainer", "workers"],
        Field(
            description="Where it runs. auto: in the workers, but for async functions, reward models and functions "
            "that take TRL's trainer_state, log_extra, log_metric or environments."
        ),
    ] = "auto"
    whole_batch: Annotated[
        bool, Field(description="The function compares completions with each other: never give it a part of a batch.")
    ] = False


class RewardsConfig(Block):
    functions: Annotated[list[RewardFunction], Field(min_length=1, description="At least one reward function.")]
    workers: Annotated[
        int,
        Field(
            ge=0,
            description="Worker processes: a crash or a hang there costs one completion. 0 runs all in the trainer, "
            "where it ends the run.",
        ),
    ] = 2
    timeout: Annotated[float, Field(gt=0, description="Seconds one completion may take to score.")] = 10.0
    batch_timeout: Annotated[float, Field(gt=0, description="Seconds one function may take for a whole batch.")] = 300.0
    memory_gb: Annotated[float, Field(gt=0, description="Memory one worker process may take, in GiB.")] = 8.0
    on_error: Annotated[
        Literal["raise", "exclude"], Field(description="A broken grader stops the run, or its completion is excluded.")
    ] = "raise"
    max_failed: Annotated[
        float, Field(ge=0, le=1, description="Share of a batch that may fail in one function before the run stops.")
    ] = 0.1
    aggregation: Annotated[
        Literal["sum", "normalize_then_sum"],
        Field(description="Weighted sum, or each function normalised within its group before the weighted sum."),
    ] = "sum"

"""The `rewards:` block: which functions score a completion, and how they are run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from grpo_plugin.config.block import Block


class RewardFunction(Block):
    """One reward function and its part in the total."""

    function: Annotated[
        str, Field(min_length=1, description="Dotted path, `path/to/file.py:name`, or a reward model of Hugging Face.")
    ]
    weight: Annotated[float, Field(description="Factor of its score in the total.", allow_inf_nan=False)] = 1.0
    kwargs: Annotated[dict[str, Any], Field(default_factory=dict, description="Keyword arguments of every call.")]
    name: Annotated[str | None, Field(description="Name in metrics and logs; by default the name of the function.")] = (
        None
    )
    run: Annotated[
        Literal["auto", "trainer", "workers"],
        Field(
            description="Where it runs. auto: in the workers, but for async functions, reward models and functions "
            "that take TRL's trainer_state, log_extra, log_metric or environments."
        ),
    ] = "auto"
    whole_batch: Annotated[
        bool, Field(description="True for a function that compares completions: it always gets the whole batch.")
    ] = False


class RewardsConfig(Block):
    """Which functions score a completion, and how they are run."""

    functions: Annotated[list[RewardFunction], Field(min_length=1, description="The reward functions.")]
    workers: Annotated[
        int,
        Field(
            ge=0,
            description="Worker processes: a crash or a hang there costs one completion. 0 runs all in the trainer, "
            "where it ends the run.",
        ),
    ] = 2
    timeout: Annotated[float, Field(gt=0, description="Seconds that scoring one completion may take.")] = 10.0
    batch_timeout: Annotated[
        float, Field(gt=0, description="Seconds that one function may take for a whole batch.")
    ] = 300.0
    memory_gb: Annotated[float, Field(gt=0, description="Memory of one worker process, in GiB.")] = 8.0
    on_error: Annotated[
        Literal["raise", "exclude"],
        Field(description="An error inside a function stops the run, or excludes the completion from training."),
    ] = "raise"
    max_failed: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of a batch without a score of one function: crashes, time limits, excluded errors.",
        ),
    ] = 0.1
    aggregation: Annotated[
        Literal["sum", "normalize_then_sum"],
        Field(description="Total: the weighted sum of scores, or of scores normalised within each group first."),
    ] = "sum"
    sandbox: Annotated[
        Literal["auto", "required"],
        Field(
            description="Programs of `rewards.code` and the like are kept apart by the kernel where it grants that; "
            "with required a run does not start where it does not."
        ),
    ] = "auto"
    keep_special_tokens: Annotated[
        bool, Field(description="Functions get special tokens (tool calls, end of turn) in the text of completions.")
    ] = False

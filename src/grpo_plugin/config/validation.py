"""The `validation:` block: how often and how the policy is evaluated on held-out prompts."""

from typing import Annotated

from pydantic import Field, model_validator

from grpo_plugin.config.block import Block


class ValidationConfig(Block):
    """How often and how the policy is evaluated on held-out prompts."""

    before_train: Annotated[bool, Field(description="Validate once before the first step.")] = True
    every: Annotated[
        int | None, Field(ge=1, description="Validate every so many optimizer steps; by default not during training.")
    ] = None
    after_train: Annotated[bool, Field(description="Validate once after the last step.")] = True
    samples: Annotated[int, Field(ge=1, description="Sampled completions per held-out prompt.")] = 1
    temperature: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Sampling temperature; by default the one of training."),
    ] = None
    top_p: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Nucleus sampling: share of the probability to sample from; by default the one of training.",
        ),
    ] = None
    greedy: Annotated[bool, Field(description="Also generate one greedy completion per held-out prompt.")] = True
    metric: Annotated[
        str | None, Field(description="Name of the reward function that counts as accuracy; by default the first.")
    ] = None
    pass_at: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(
            description="For each k: the probability that at least one of k samples is correct; k is at most `samples`."
        ),
    ] = ()
    correct_from: Annotated[
        float,
        Field(allow_inf_nan=False, description="For pass@k: a completion is correct from this value of the metric on."),
    ] = 1.0
    group_by: Annotated[
        str | None,
        Field(min_length=1, description="Column of the data; accuracy is also given for each of its values."),
    ] = None
    max_prompts: Annotated[int | None, Field(ge=1, description="Use at most so many held-out prompts.")] = None

    @model_validator(mode="after")
    def _enough_samples(self) -> "ValidationConfig":
        if self.pass_at and max(self.pass_at) > self.samples:
            raise ValueError(
                f"'pass_at' {max(self.pass_at)} needs as many samples, but 'samples' is {self.samples}; raise 'samples'"
            )
        return self

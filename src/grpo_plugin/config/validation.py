"""The `validation:` block: how often and how the policy is evaluated on held-out prompts."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grpo_plugin.config.block import Block
from grpo_plugin.config.prompts import SetName
from grpo_plugin.errors import RecipeError

_EPOCHS = re.compile(r"(\d+(?:\.\d*)?|\.\d+) *epochs?")


def _interval(value: Any) -> int | str:
    """A number of steps as it is; epochs as text `N epochs`."""
    found = _EPOCHS.fullmatch(str(value).strip())
    if found and float(found[1]) > 0:
        return f"{float(found[1]):g} epochs"
    if not str(value).isdigit() or int(value) < 1:
        raise ValueError("expected a number of optimizer steps, or of epochs such as '0.5 epochs'")
    return int(value)


Interval = Annotated[int | str, BeforeValidator(_interval)]
Counts = tuple[Annotated[int, Field(ge=1)], ...]


class EvaluationOptions(Block):
    """How one set of held-out prompts is answered and scored; what is not given is as in `validation:`."""

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
    max_tokens: Annotated[
        int | None, Field(ge=1, description="Longest completion; by default trl.max_completion_length.")
    ] = None
    reward: Annotated[
        str | None,
        Field(
            min_length=1,
            description="A function, written as in rewards.functions, that scores in place of the rewards of training.",
        ),
    ] = None
    metric: Annotated[
        str | None, Field(description="Name of the reward function that counts as accuracy; by default the first.")
    ] = None
    pass_at: Annotated[
        Counts,
        Field(
            description="For each k: the probability that at least one of k samples is correct; k is at most `samples`."
        ),
    ] = ()
    majority_at: Annotated[
        Counts,
        Field(
            description="For each k: the probability that the most frequent answer of k samples is correct; answers "
            "that the reward's module takes for equivalent count as one. k is at most `samples`."
        ),
    ] = ()
    correct_from: Annotated[
        float,
        Field(
            allow_inf_nan=False,
            description="For pass@k and maj@k: a completion is correct from this value of the metric on.",
        ),
    ] = 1.0
    group_by: Annotated[
        str | None,
        Field(min_length=1, description="Column of the data; accuracy is also given for each of its values."),
    ] = None
    max_prompts: Annotated[int | None, Field(ge=1, description="Use at most so many held-out prompts.")] = None


class BestCheckpoint(Block):
    """The figure by which the best checkpoint is kept."""

    metric: Annotated[
        str,
        Field(
            min_length=1,
            description="A validation metric, such as `accuracy_greedy`, or `aime24/accuracy_sampled`.",
        ),
    ]
    mode: Annotated[Literal["max", "min"], Field(description="Whether the largest or the smallest value is best.")] = (
        "max"
    )

    @property
    def name(self) -> str:
        """The metric as it is logged."""
        return self.metric if self.metric.startswith("eval_") else f"eval_{self.metric}"


class ValidationConfig(EvaluationOptions):
    """How often and how the policy is evaluated on held-out prompts."""

    before_train: Annotated[bool, Field(description="Validate once before the first step.")] = True
    every: Annotated[
        Interval | None,
        Field(
            description="Validate every so many optimizer steps, or epochs: `0.5 epochs`; by default not during "
            "training."
        ),
    ] = None
    after_train: Annotated[bool, Field(description="Validate once after the last step.")] = True
    only: Annotated[bool, Field(description="Validate once and end: nothing is trained, no model is saved.")] = False
    show: Annotated[
        int,
        Field(ge=0, description="Show the answers to the first so many held-out prompts, now and before training."),
    ] = 2
    best: Annotated[
        BestCheckpoint | None,
        Field(description="Save a checkpoint at each new best value, and keep it beside the last ones."),
    ] = None
    patience: Annotated[
        int | None,
        Field(ge=1, description="End training after so many validations in a row without a better `best.metric`."),
    ] = None
    sets: Annotated[
        Mapping[SetName, EvaluationOptions],
        Field(description="Options of single sets, by their names in prompts.validation."),
    ] = {}

    @model_validator(mode="after")
    def _check(self) -> "ValidationConfig":
        if self.patience and not self.best:
            raise ValueError("'patience' needs 'best'; name the figure that has to get better, as best: {metric: …}")
        for options in (self, *(self.of_set(name) for name in self.sets)):
            for field in ("pass_at", "majority_at"):
                most = max(getattr(options, field), default=0)
                if most > options.samples:
                    raise ValueError(
                        f"'{field}' {most} needs as many samples, but 'samples' is {options.samples}; raise 'samples'"
                    )
        return self

    def of_set(self, name: str) -> EvaluationOptions:
        """The options of the set `name` of prompts.validation."""
        fields = {field: getattr(self, field) for field in EvaluationOptions.model_fields}
        own = self.sets.get(name)
        given = {} if own is None else {field: getattr(own, field) for field in own.model_fields_set}
        return EvaluationOptions.model_construct(**{**fields, **given})

    def steps(self, steps_per_epoch: int | None) -> int | None:
        """`every` in optimizer steps, at least one; None where it is not set.

        Raises:
            RecipeError: epochs of a stream, whose length is not known.
        """
        if not isinstance(self.every, str):
            return self.every
        if steps_per_epoch is None:
            raise RecipeError(
                f"validation.every: an epoch of a stream has no length, got {self.every!r}; give a number of steps."
            )
        return max(1, round(float(self.every.removesuffix(" epochs")) * steps_per_epoch))

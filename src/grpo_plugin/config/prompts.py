"""The `prompts:` block: which rows become prompts, and how they are worded."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grpo_plugin.config.block import Block


class WeightedSource(Block):
    """One source of rows; a source without a weight may be written as its text alone."""

    source: Annotated[
        str,
        Field(min_length=1, description="A hub dataset `user/name@split` or `user/name:config@split`, or local files."),
    ]
    weight: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Share of the mixture, relative to the weights of the others."),
    ] = None


def _as_list(value: Any) -> list[Any]:
    """One source or several, each as its text alone or with a weight."""
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise ValueError("no source; name at least one file or dataset")
    if not all(isinstance(entry, (str, Mapping, WeightedSource)) for entry in entries):
        raise ValueError("a source is text such as 'user/name@train' or 'data.jsonl', or {source: …, weight: …}")
    return [{"source": entry} if isinstance(entry, str) else entry for entry in entries]


Sources = Annotated[
    list[WeightedSource], BeforeValidator(_as_list, json_schema_input_type=str | list[str | WeightedSource])
]


class PromptsConfig(Block):
    """Which rows become prompts, and what text they become."""

    train: Annotated[
        Sources,
        Field(
            description="Training rows: `user/name@split`, `user/name:config@split`, local files, or a list of these.",
        ),
    ]
    validation: Annotated[
        Sources | None,
        Field(description="Held-out rows, written like `train`."),
    ] = None
    prompt_key: Annotated[str, Field(description="Column with the question, or with a list of chat messages.")] = (
        "prompt"
    )
    answer_key: Annotated[
        str | None, Field(description="Column with the gold answer; reward functions get it as `answer`.")
    ] = None
    answer_extract: Annotated[
        Literal["gsm8k", "boxed"] | None,
        Field(
            description="Take the gold answer from a solution: after `####` (gsm8k) or from the last \\boxed{} (boxed)."
        ),
    ] = None
    image_key: Annotated[str | None, Field(description="Column with one image, or with a list of images.")] = None
    min_pixels: Annotated[
        int | None, Field(ge=1, description="Smaller images are enlarged to at least so many pixels.")
    ] = None
    max_pixels: Annotated[
        int | None, Field(ge=1, description="Larger images are reduced to at most so many pixels.")
    ] = None
    system: Annotated[
        str | None, Field(min_length=1, description="System message that is put before every prompt.")
    ] = None
    template: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Jinja template, as a file or as text; it gets every column, and the question as `content`.",
        ),
    ] = None
    max_length: Annotated[
        int | None,
        Field(ge=1, description="Longest prompt in tokens, chat template included; by default there is no limit."),
    ] = None
    overlong: Annotated[
        Literal["drop", "error", "truncate_left"],
        Field(
            description="A prompt over max_length is dropped, stops the run, or loses the first part of its question."
        ),
    ] = "drop"
    streaming: Annotated[
        bool, Field(description="Read training rows during training, for data larger than the disk; needs max_steps.")
    ] = False

    @model_validator(mode="after")
    def _check_keys_that_need_each_other(self) -> "PromptsConfig":
        if self.answer_extract and not self.answer_key:
            raise ValueError("'answer_extract' needs 'answer_key'; name the column that holds the solution")
        if (self.min_pixels or self.max_pixels) and not self.image_key:
            raise ValueError("'min_pixels' and 'max_pixels' need 'image_key'; name the column that holds the images")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is over max_pixels {self.max_pixels}; swap them")
        return self

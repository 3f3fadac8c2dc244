"""The `prompts:` block: which rows become prompts, and how they are worded."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grpo_plugin.config.base import Block


class WeightedSource(Block):
    source: Annotated[str, Field(min_length=1, description="user/name@split, user/name:config@split, or local files.")]
    weight: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Share of the mixture, relative to the other sources (1)."),
    ] = None


def _as_list(value: Any) -> list[Any]:
    """One source or several, each by its words alone or with a weight."""
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise ValueError("no source; name at least one file or dataset")
    if not all(isinstance(entry, (str, Mapping, WeightedSource)) for entry in entries):
        raise ValueError("a source is text such as 'user/name@train' or 'data.jsonl', or {source: …, weight: …}")
    return [{"source": entry} if isinstance(entry, str) else entry for entry in entries]


Sources = Annotated[list[WeightedSource], BeforeValidator(_as_list)]


class PromptsConfig(Block):
    train: Annotated[
        Sources,
        Field(description="user/name@split, user/name:config@split, local files, or a list, with weights if wanted."),
    ]
    validation: Annotated[Sources | None, Field(description="Held-out rows, in the same words.")] = None
    prompt_key: Annotated[str, Field(description="Column with the question, or with chat messages.")] = "prompt"
    answer_key: Annotated[str | None, Field(description="Column with the gold answer; rewards see it as `answer`.")] = (
        None
    )
    answer_extract: Annotated[
        Literal["gsm8k", "boxed"] | None,
        Field(description="Take the gold answer from behind `####` (gsm8k), or from the last \\boxed{} (boxed)."),
    ] = None
    image_key: Annotated[str | None, Field(description="Column with one image or a list of images.")] = None
    min_pixels: Annotated[int | None, Field(ge=1, description="Smaller images are enlarged to this many pixels.")] = (
        None
    )
    max_pixels: Annotated[int | None, Field(ge=1, description="Larger images are reduced to this many pixels.")] = None
    system: Annotated[str | None, Field(min_length=1, description="System message put before every prompt.")] = None
    template: Annotated[
        str | None, Field(min_length=1, description="Jinja file or text; sees every column and `content`.")
    ] = None
    max_length: Annotated[int | None, Field(ge=1, description="Longest templated prompt, in tokens.")] = None
    overlong: Annotated[
        Literal["drop", "error", "truncate_left"], Field(description="What happens to a prompt over max_length.")
    ] = "drop"
    streaming: Annotated[
        bool, Field(description="Read training rows while training, for data larger than the disk; needs max_steps.")
    ] = False

    @model_validator(mode="after")
    def _keys_that_belong_together(self) -> "PromptsConfig":
        if self.answer_extract and not self.answer_key:
            raise ValueError("'answer_extract' needs 'answer_key'; name the column that holds the solution")
        if (self.min_pixels or self.max_pixels) and not self.image_key:
            raise ValueError("'min_pixels' and 'max_pixels' need 'image_key'; name the column that holds the images")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is over max_pixels {self.max_pixels}; swap them")
        return self

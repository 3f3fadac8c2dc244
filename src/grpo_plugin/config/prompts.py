"""The `prompts:` block: which rows become prompts, and how they are worded."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from grpo_plugin.config.block import Block
from grpo_plugin.config.generated import Options, Seed, Size, check_apart, check_given, filled, held_out_seed


class WeightedSource(Block):
    """One source of rows; a source without a weight may be written as its text alone."""

    source: Annotated[
        str,
        Field(
            min_length=1,
            description="A hub dataset `user/name@split` or `user/name:config@split`, local files, or a task "
            "`reasoning_gym:name`.",
        ),
    ]
    weight: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Share of the mixture, relative to the weights of the others."),
    ] = None
    size: Size = None
    seed: Seed = None
    options: Options = None

    @model_validator(mode="after")
    def _check_generated(self) -> "WeightedSource":
        check_given("", [self], size=self.size, seed=self.seed, options=self.options)
        return self


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

VALIDATION = "validation"
"""The name of the only set where `prompts.validation` names none."""

_NAME = r"[A-Za-z][\w.-]*"
SetName = Annotated[str, Field(pattern=f"^{_NAME}$")]
Overlong = Literal["drop", "error", "truncate_left"]


class HeldOutSet(Block):
    """One set of held-out prompts; what is not given is as in `prompts:`, null is nothing."""

    sources: Annotated[Sources, Field(description="Its rows, written like `train`.")]
    prompt_key: Annotated[str | None, Field(description="Column with the question.")] = None
    answer_key: Annotated[str | None, Field(description="Column with the gold answer.")] = None
    answer_extract: Annotated[
        Literal["gsm8k", "boxed"] | None, Field(description="Where the gold answer stands in a solution.")
    ] = None
    image_key: Annotated[str | None, Field(description="Column with images.")] = None
    system: Annotated[str | None, Field(min_length=1, description="System message.")] = None
    template: Annotated[str | None, Field(min_length=1, description="Jinja template, as a file or as text.")] = None
    max_length: Annotated[int | None, Field(ge=1, description="Longest prompt in tokens.")] = None
    overlong: Annotated[Overlong, Field(description="What happens to a longer prompt.")] = "drop"
    size: Size = None
    seed: Seed = None
    options: Options = None

    @model_validator(mode="after")
    def _check_generated(self) -> "HeldOutSet":
        check_given("", self.sources, size=self.size, seed=self.seed, options=self.options)
        return self

    @model_serializer(mode="wrap")
    def _given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what was given: a null in it would be another one than none."""
        return {field: value for field, value in serialize(self).items() if field in self.model_fields_set}


def _as_sets(value: Any) -> Any:
    """Sets by name; sources without a name are the set "validation"."""
    if not isinstance(value, Mapping) or "source" in value:
        return {VALIDATION: {"sources": _as_list(value)}}
    for name in value:
        if not re.fullmatch(_NAME, str(name)):
            raise ValueError(f"{name!r} is no name of a set; give letters, digits, '_', '.' and '-'")
    return {name: _as_set(entry) for name, entry in value.items()}


def _as_set(entry: Any) -> Any:
    if isinstance(entry, HeldOutSet) or (isinstance(entry, Mapping) and "source" not in entry):
        return entry
    return {"sources": entry}


Text = str | list[str | WeightedSource] | WeightedSource
HeldOutSets = Annotated[
    dict[SetName, HeldOutSet],
    BeforeValidator(_as_sets, json_schema_input_type=Text | dict[SetName, Text | HeldOutSet]),
]


class PromptsConfig(Block):
    """Which rows become prompts, and what text they become."""

    train: Annotated[
        Sources,
        Field(
            default_factory=list,
            description="Training rows: `user/name@split`, `user/name:config@split`, local files, "
            "`reasoning_gym:task`, or a list of these; "
            "may be missing where nothing is trained (`validation.only`, `axolotl grpo evaluate`).",
        ),
    ]
    validation: Annotated[
        HeldOutSets | None,
        Field(description="Held-out rows, written like `train`; or several sets of them, by name."),
    ] = None
    prompt_key: Annotated[
        str | None,
        Field(
            description="Column with the question, or with a list of chat messages; null where the data has none and "
            "the environment's reset() makes all of the prompt."
        ),
    ] = "prompt"
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
        Overlong,
        Field(
            description="A prompt over max_length is dropped, stops the run, or loses the first part of its question."
        ),
    ] = "drop"
    streaming: Annotated[
        bool, Field(description="Read training rows during training, for data larger than the disk; needs max_steps.")
    ] = False

    size: Size = None
    seed: Seed = None
    options: Options = None

    @model_validator(mode="after")
    def _complete_generated(self) -> "PromptsConfig":
        """Give the tasks of `train` what the block says of all; frozen, the model is changed only here."""
        sets = self.validation or {}
        everywhere = [*self.train, *(source for one in sets.values() for source in one.sources)]
        check_given("", everywhere, size=self.size, seed=self.seed, options=self.options)
        object.__setattr__(self, "train", filled(self.train, self.size, self.seed, self.options))
        for name in sets:
            check_apart(self.train, self.held_out(name).train, name)
        return self

    @model_validator(mode="after")
    def _check_keys_that_need_each_other(self) -> "PromptsConfig":
        for config in (self, *(self.held_out(name) for name in self.validation or ())):
            _check_needs(config)
        return self

    @property
    def shows_images(self) -> bool:
        """Whether any prompt, of training or held out, has images."""
        return bool(self.image_key or any(one.image_key for one in (self.validation or {}).values()))

    def fields(self) -> Iterator[tuple[str, "PromptsConfig"]]:
        """Each field that names sources, with the block as it is for them: the sources are its `train`."""
        yield "prompts.train", self
        for name in self.validation or ():
            yield held_out_field(name), self.held_out(name)

    def held_out(self, name: str) -> "PromptsConfig":
        """The block as it is for one set of held-out prompts, with the set's sources as `train`."""
        assert self.validation is not None
        chosen = self.validation[name]
        own = {field: getattr(chosen, field) for field in chosen.model_fields_set - {"sources"}}
        merged = self.model_copy(update={"seed": held_out_seed(self.seed, name), **own})
        sources = filled(chosen.sources, merged.size, merged.seed, merged.options)
        return merged.model_copy(update={"train": sources, "validation": None, "streaming": False})


def held_out_field(name: str) -> str:
    """How errors call a set of held-out prompts."""
    return "prompts.validation" if name == VALIDATION else f"prompts.validation.{name}"


def _check_needs(config: PromptsConfig) -> None:
    if config.prompt_key is None and (config.template or config.image_key):
        raise ValueError("'template' and 'image_key' need 'prompt_key'; name the column that holds the question")
    if config.answer_extract and not config.answer_key:
        raise ValueError("'answer_extract' needs 'answer_key'; name the column that holds the solution")
    if (config.min_pixels or config.max_pixels) and not config.shows_images:
        raise ValueError("'min_pixels' and 'max_pixels' need 'image_key'; name the column that holds the images")
    if config.min_pixels and config.max_pixels and config.min_pixels > config.max_pixels:
        raise ValueError(f"min_pixels {config.min_pixels} is over max_pixels {config.max_pixels}; swap them")

"""The `prompts:` block: which rows become prompts, and how they are worded."""

from typing import Annotated, Literal

from pydantic import Field

from grpo_plugin.config.base import Block


class PromptsConfig(Block):
    train: Annotated[str | list[str], Field(description="user/name@split, user/name:config@split, or local files.")]
    validation: Annotated[str | list[str] | None, Field(description="Held-out rows, in the same words.")] = None
    prompt_key: Annotated[str, Field(description="Column with the question, or with chat messages.")] = "prompt"
    answer_key: Annotated[str | None, Field(description="Column with the gold answer; rewards see it as `answer`.")] = (
        None
    )
    image_key: Annotated[str | None, Field(description="Column with one image or a list of images.")] = None
    system: Annotated[str | None, Field(description="System message put before every prompt.")] = None
    template: Annotated[str | None, Field(description="Jinja file or text; sees every column and `content`.")] = None
    max_length: Annotated[int | None, Field(ge=1, description="Longest templated prompt, in tokens.")] = None
    overlong: Annotated[Literal["drop", "error"], Field(description="What happens to a prompt over max_length.")] = (
        "drop"
    )

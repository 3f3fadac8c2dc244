"""The `environments:` block: episodes of several turns, with an environment or with tools."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grpo_plugin.config.block import Block


def _named(value: Any) -> Any:
    """Text, or texts by name."""
    texts = list(value.values()) if isinstance(value, Mapping) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("it is text such as 'my_env.py:Wordle', or names with such a text each")
    return value


Factory = Annotated[str | dict[str, str], BeforeValidator(_named)]
CallFormat = Literal["auto", "transformers", "hermes", "llama3_json", "qwen3_coder", "pythonic"]


class EnvironmentsConfig(Block):
    """Episodes of several turns: the model calls tools, and goes on with what they return."""

    factory: Annotated[
        Factory | None,
        Field(
            description="What makes an environment: a class or function as `path/to/file.py:name` or a dotted path, or "
            "several by name, of which the data's column `environment` picks one.",
        ),
    ] = None
    tools: list[str] = Field(
        default_factory=list, description="Functions that the model may call in every episode, written the same way."
    )
    max_turns: Annotated[
        int | None,
        Field(ge=1, description="Turns of the model in one episode; by default as many as its tokens allow."),
    ] = None
    max_turn_tokens: Annotated[
        int | None,
        Field(ge=1, description="Tokens of one turn; by default what is left of trl.max_completion_length."),
    ] = None
    tool_timeout: Annotated[float, Field(gt=0, description="Seconds that one call of a tool may take.")] = 30.0
    reset_timeout: Annotated[
        float,
        Field(gt=0, description="Seconds that making or resetting an environment, or its get_reward(), may take."),
    ] = 120.0
    max_tool_output: Annotated[
        int, Field(ge=1, description="Characters of a tool's result that the model gets; the rest is left out.")
    ] = 4096
    call_format: Annotated[
        CallFormat,
        Field(
            description="How the model writes a call. auto: by the tokenizer's own response template where it has one, "
            "else the format that the chat template writes."
        ),
    ] = "auto"
    chat_template: Annotated[
        str | None,
        Field(
            description="A file with the chat template (Jinja) that episodes are rendered with; by default the "
            "tokenizer's, or TRL's training version of it where that one rewrites earlier turns."
        ),
    ] = None
    isolation: Annotated[
        Literal["threads", "processes"],
        Field(
            description="Where blocking tools run. threads: in the trainer, where one that hangs is given up but not "
            "ended; processes: in worker processes that are killed, on a copy of the environment whose state comes "
            "back."
        ),
    ] = "threads"
    workers: Annotated[int, Field(ge=1, description="Worker processes, with `isolation: processes`.")] = 2
    memory_gb: Annotated[float, Field(gt=0, description="Memory of one worker process, in GiB.")] = 8.0

    @model_validator(mode="after")
    def _something_to_call(self) -> "EnvironmentsConfig":
        if not self.factory and not self.tools:
            raise ValueError("neither 'factory' nor 'tools' is given; name an environment's class, or tools")
        return self

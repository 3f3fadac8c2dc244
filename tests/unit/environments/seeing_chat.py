"""The processor of a model that takes images, with a chat template that renders tools."""

from functools import cache
from typing import Any

from grpo_plugin.environments.rendering import ChatRenderer
from tests.seeing import make_processor
from tests.unit.environments.chat import TEMPLATES


@cache
def processor() -> Any:
    made = make_processor()
    made.tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    made.chat_template = (TEMPLATES / "qwen3_vl.jinja").read_text(encoding="utf-8")
    made.tokenizer.chat_template = made.chat_template
    return made


def seeing_renderer() -> ChatRenderer:
    return ChatRenderer(processor(), [processor().tokenizer.eos_token_id])

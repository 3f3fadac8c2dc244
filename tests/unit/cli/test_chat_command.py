"""Lines in, answers out; vLLM itself talks in tests/integration."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grpo_plugin.cli import chat
from grpo_plugin.recipe import parse
from grpo_plugin.rollout.client.chat import Refused


class Short:
    """A conversation with room for one answer."""

    def __init__(self) -> None:
        self.said = 0

    def reply(self, text: str) -> Iterator[str]:
        if self.said:
            raise Refused("vLLM refused the request (400): too long.")
        self.said += 1
        yield text.upper()

    def forget(self) -> None:
        self.said = 0

    def close(self) -> None: ...


def test_a_conversation_that_is_too_long_goes_on_after_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\nb\n/new\nc\n"))
    chat.talk(Short())  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.out == "A\nC\n"
    assert said.err == "vLLM refused the request (400): too long; /new begins anew.\n"


@pytest.mark.parametrize(("template", "given"), [(True, {"enable_thinking": False}), (False, None)])
def test_the_chat_template_gets_the_recipes_arguments(
    monkeypatch: pytest.MonkeyPatch, template: bool, given: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(chat, "has_chat_template", lambda model: template)
    values = {
        "base_model": "user/model",
        "plugins": ["grpo_plugin.PromptPlugin", "grpo_plugin.RewardPlugin"],
        "prompts": {"train": "data.jsonl"},
        "rewards": {"functions": [{"function": "rewards.math.accuracy"}]},
        "trl": {"num_generations": 4, "chat_template_kwargs": {"enable_thinking": False}},
    }
    serving = chat.Serving(SimpleNamespace(), "model", Path("vllm.log"), parse(values))  # type: ignore[arg-type]
    server: Any = SimpleNamespace(endpoint=SimpleNamespace(address="http://127.0.0.1:9", key=None))
    made = chat._conversation(serving, server, {"max_tokens": None, "temperature": 0.5, "system": None})
    assert made._options.get("chat_template_kwargs") == given and made._options["max_tokens"] == 256
    made.close()

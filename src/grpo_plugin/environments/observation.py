"""The prompt of an episode: the row's messages, and what `reset()` of its environment added to them."""

from collections.abc import Mapping
from typing import Any

from grpo_plugin.environments.calls import Message
from grpo_plugin.environments.results import Content
from grpo_plugin.errors import EpisodeError

EMPTY: list[Message] = [{"role": "user", "content": ""}]


def prompt_of(row: Mapping[str, Any], label: str) -> list[Message]:
    """The row's messages, an empty question without a prompt; EpisodeError, by `label`, where it is text."""
    prompt = row.get("prompt") or EMPTY
    if isinstance(prompt, str):
        raise EpisodeError(
            f"environments: the prompt of {label} is text, and episodes need chat messages; leave out "
            "what makes it text in `prompts:`."
        )
    return list(prompt)


def with_observation(prompt: list[Message], observation: Content | None, label: str) -> list[Message]:
    """The messages with the observation behind their last user message; EpisodeError, naming the row, without one."""
    if observation is None:
        return prompt
    last = max((place for place, message in enumerate(prompt) if message["role"] == "user"), default=None)
    if last is None:
        raise EpisodeError(f"environments: the prompt of {label} has no user message for what reset() returned.")
    message = {**prompt[last], "content": _joined(prompt[last]["content"], observation)}
    return [*prompt[:last], message, *prompt[last + 1 :]]


def images_of_row(row: Mapping[str, Any]) -> list[Any] | None:
    """The images that the row's columns hold; None without."""
    if row.get("images"):
        return list(row["images"])
    return [row["image"]] if row.get("image") is not None else None


def _joined(content: Content, observation: Content) -> Content:
    """As TRL joins them: texts directly, else as content blocks."""
    if isinstance(content, str) and isinstance(observation, str):
        return content + observation
    return [*_blocks(content), *_blocks(observation)]


def _blocks(content: Content) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content

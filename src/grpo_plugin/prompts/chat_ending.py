"""How a chat becomes a prompt: a new assistant turn is opened, or the last one is continued."""

from collections.abc import Callable, Sequence
from typing import Any


def continues(prompt: Any) -> bool:
    """Whether a prompt is a chat that ends with a message of the assistant, which the completion continues."""
    return isinstance(prompt, list) and bool(prompt) and prompt[-1].get("role") == "assistant"


def ending(prompt: Any) -> dict[str, Any]:
    """The arguments of transformers' `apply_chat_template` for this prompt.

    A second assistant header behind an assistant's message would make the model start its answer again.
    """
    if continues(prompt):
        return {"add_generation_prompt": False, "continue_final_message": True}
    return {"add_generation_prompt": True}


def tokenized_by_ending(
    prompts: Sequence[Any],
    opened: Callable[[list[Any]], Sequence[list[int]]],
    continued: Callable[[list[Any]], Sequence[list[int]]],
) -> list[list[int]]:
    """Token ids of prompts of both kinds, in their order.

    Args:
        opened: tokenizes prompts that get a new assistant turn.
        continued: tokenizes chats whose last message is continued.
    """
    ids: list[list[int]] = [[] for _ in prompts]
    for kind, tokenize in ((False, opened), (True, continued)):
        places = [place for place, prompt in enumerate(prompts) if continues(prompt) is kind]
        found = tokenize([prompts[place] for place in places]) if places else []
        for place, of_prompt in zip(places, found, strict=True):
            ids[place] = list(of_prompt)
    return ids

"""The tokens that end a completion: those of the tokenizer, of the model, and of the chat template."""

from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.prompts.template_limit import TooMuch, limited


def terminators(tokenizer: Any, model: Any) -> list[int]:
    """Token ids, in ascending order.

    A model may have several in its generation config (Llama 3, Qwen); a chat template may close a turn with a token
    that is none of them.

    Raises:
        RecipeError: the chat template computes without end or fills the memory.
    """
    generation_config = getattr(model, "generation_config", None)
    found = [*_ids(tokenizer), *_ids(generation_config), *_ids(model.config), _end_of_turn(tokenizer)]
    return sorted({token for token in found if token is not None})


def _ids(config: Any) -> list[int | None]:
    given = getattr(config, "eos_token_id", None)
    return list(given) if isinstance(given, list | tuple) else [given]


def _end_of_turn(tokenizer: Any) -> int | None:
    """The special token that the chat template puts directly behind an assistant's message; None without one."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    marker = "grpo"
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": marker}]
    try:
        text = limited(lambda: str(tokenizer.apply_chat_template(messages, tokenize=False)))
    except TooMuch as error:
        raise RecipeError(f"chat_template: the model's chat template cannot be rendered: {error}.") from None
    except Exception:  # a template that refuses this chat does not show how it ends one
        return None
    ending = text.rpartition(marker)[2].lstrip()
    for token, index in tokenizer.get_added_vocab().items():
        if token and ending.startswith(token):
            return int(index)
    return None

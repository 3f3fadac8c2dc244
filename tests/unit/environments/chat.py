"""A byte-level tokenizer with the special tokens and the chat templates of real models, which TRL ships."""

from functools import cache
from pathlib import Path
from typing import Any

import trl
from transformers import Qwen2Tokenizer

from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.rollout.client.responses import Completion

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
# Of each model family: the token that ends a turn, the other special tokens, and added ones that are not special.
TOKENS = {
    "qwen": ("<|im_end|>", ["<|endoftext|>", "<|im_start|>"], ["<tool_call>", "</tool_call>", "<think>", "</think>"]),
    "llama": (
        "<|eot_id|>",
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|python_tag|>"],
        [],
    ),
}


@cache
def tokenizer(template: str = "qwen2_5") -> Any:
    """A tokenizer with one of TRL's templates; every byte is a token, and some words are."""
    end, special, added = TOKENS["llama" if template.startswith("llama") else "qwen"]
    texts = ["system user assistant tool_response name arguments parameters", "What is there? You may call functions"]
    untrained = Qwen2Tokenizer(pad_token=special[0], eos_token=end, additional_special_tokens=special[1:])
    made = untrained.train_new_from_iterator([texts] * 10, vocab_size=340, show_progress=False)
    made.add_tokens(added)
    if special[0] == "<|begin_of_text|>":
        made.bos_token = special[0]
    made.chat_template = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    return made


def renderer(template: str = "qwen2_5", **options: Any) -> ChatRenderer:
    made = tokenizer(template)
    others = ["<|endoftext|>"] if made.eos_token == "<|im_end|>" else ["<|eom_id|>"]
    return ChatRenderer(made, [made.eos_token_id, *made.convert_tokens_to_ids(others)], **options)


def turn(text: str, finish_reason: str = "stop", version: int = 3, template: str = "qwen2_5") -> Completion:
    """A turn of the model, each token at a log-probability of −0.5."""
    ids = tokenizer(template)(text, add_special_tokens=False)["input_ids"]
    return Completion(ids, [-0.5] * len(ids), finish_reason, version)


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'

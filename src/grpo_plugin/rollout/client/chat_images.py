"""Prompts with images, for vLLM's chat route: its completions route takes none.

A prompt is sent as one text with a chat template that repeats it unchanged, so that the images stand where the
trainer's processor put their placeholders.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from grpo_plugin.errors import RolloutError

VERBATIM = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def chat_request(text: str, images: Sequence[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat request; `fields` are those of a completions request, `text` has one placeholder per image."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    parts += [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return {
        **fields,
        "messages": [{"role": "user", "content": parts}],
        "chat_template": VERBATIM,
        "logprobs": True,
        "top_logprobs": 0,
    }


def data_url(image: Any) -> str:
    """A Pillow image as PNG, which keeps every pixel."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def check_prompt(prompt_ids: Sequence[int], vllm_prompt_ids: Sequence[int]) -> None:
    """Check that vLLM's prompt is ours with image tokens added.

    Raises:
        RolloutError: when the tokens of `prompt_ids` are not all in `vllm_prompt_ids`, in their order.
    """
    rest = iter(vllm_prompt_ids)
    if not all(token in rest for token in prompt_ids):
        raise RolloutError(
            "vLLM tokenised a prompt with images differently from the trainer; check that tokenizer_config is the "
            "model's own, or set trl.use_vllm: false."
        )

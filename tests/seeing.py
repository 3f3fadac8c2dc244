"""Random Qwen2-VL, Qwen2.5-VL and Qwen3-VL models of about 0.2 M parameters with their processors, for tests."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.tiny import make_tokenizer

PLACEHOLDERS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# A processor without videos, which would need torchvision; saved beside the model, for AutoProcessor to find.
REMOTE_CODE = """
from transformers import Qwen2_5_VLProcessor


class ImagesOnly(Qwen2_5_VLProcessor):
    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    def check_argument_for_proper_class(self, argument_name, argument):
        return type(argument)
"""

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,  # of 32: the least that vLLM knows on a CPU
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
TOWER = {"depth": 2, "num_heads": 2, "patch_size": 14, "initializer_range": 0.2}


class ImagesOnly(Qwen2_5_VLProcessor):
    """Without a video processor, which would need torchvision."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        return type(argument)


def make_processor() -> Qwen2_5_VLProcessor:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": PLACEHOLDERS})
    tokenizer.chat_template = CHAT_TEMPLATE
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 16)
    return ImagesOnly(images, tokenizer, None, chat_template=CHAT_TEMPLATE)


def make_seeing_model(kind: str, tokenizer: Any, *, seed: int = 0) -> Any:
    """A random `qwen2_vl`, `qwen2_5_vl` or `qwen3_vl`."""
    torch.manual_seed(seed)
    start, end, image, video = tokenizer.convert_tokens_to_ids(PLACEHOLDERS)
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    shared = {
        "vision_start_token_id": start,
        "vision_end_token_id": end,
        "image_token_id": image,
        "video_token_id": video,
        "tie_word_embeddings": False,
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    text = {**TEXT, **special, "vocab_size": len(tokenizer), "rope_parameters": rope}
    if kind == "qwen2_vl":
        tower = {**TOWER, "embed_dim": 32, "mlp_ratio": 2, "hidden_size": 64}
        return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=tower, **shared))
    tower = {**TOWER, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64}
    if kind == "qwen2_5_vl":
        tower |= {"fullatt_block_indexes": [1], "window_size": 56}
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=tower, **shared))
    text |= {"head_dim": 32}
    tower |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=tower, **shared))


def save_seeing_model(folder: Path, kind: str) -> Path:
    """Model and processor in `folder`; to load it, `trust_remote_code` is needed."""
    processor = make_processor()
    make_seeing_model(kind, processor.tokenizer).save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    (folder / "processing_tiny.py").write_text(REMOTE_CODE)
    named = {"processor_class": "ImagesOnly", "auto_map": {"AutoProcessor": "processing_tiny.ImagesOnly"}}
    (folder / "processor_config.json").write_text(json.dumps(named))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder

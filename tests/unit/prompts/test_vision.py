"""Rows with images, through TRL's own preparation and a Qwen2.5-VL processor: same messages, same lengths."""

import pytest
from PIL import Image
from transformers import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from trl.data_utils import prepare_multimodal_messages

from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.errors import DataError
from grpo_plugin.prompts import load

from .vocabularies import qwen, wrapped

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ImagesOnly(Qwen2_5_VLProcessor):
    """Without a video processor, which would need torchvision."""

    def check_argument_for_proper_class(self, argument_name, argument):
        return type(argument)


@pytest.fixture(scope="module")
def processor() -> Qwen2_5_VLProcessor:
    vocabulary = qwen()
    vocabulary.add_special_tokens(["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 64)
    tokenizer = wrapped(vocabulary)
    return ImagesOnly(images, tokenizer, None, chat_template=TEMPLATE)


def test_messages_and_lengths_are_those_of_the_processor(processor, tmp_path, jsonl):
    for name, size in (("a.png", (200, 90)), ("b.png", (30, 500))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    rows = [("no image", []), ("<image>one", ["a.png"]), ("first <image>, then <image>?", ["a.png", "b.png"])]
    jsonl([{"prompt": text, "pics": names} for text, names in rows])
    config = PromptsConfig(train="train.jsonl", image_key="pics", system="Look.", max_length=500)
    data = load(config, base_dir=tmp_path, seed=0, tokenizer=processor.tokenizer, processor=processor)

    lengths = []
    for row in data.train:
        messages = prepare_multimodal_messages(row["prompt"], images=row["images"])
        encoded = processor.apply_chat_template([messages], add_generation_prompt=True, tokenize=True, return_dict=True)
        lengths.append(len(encoded["input_ids"][0]))
        texts = [part for part in messages[-1]["content"] if part["type"] == "text"]
        assert all(part["text"] for part in texts)
    assert data.longest == max(lengths) == lengths[2]
    limit = lengths[1]
    for longest, kept in ((limit, 2), (limit - 1, 1)):
        config = PromptsConfig(train="train.jsonl", image_key="pics", system="Look.", max_length=longest)
        limited = load(config, base_dir=tmp_path, seed=0, tokenizer=processor.tokenizer, processor=processor)
        assert len(limited.train) == kept


def test_an_image_that_the_processor_refuses_is_named(processor, tmp_path, jsonl):
    Image.new("RGB", (3000, 10)).save(tmp_path / "thin.png")
    jsonl([{"prompt": "a", "pics": None}, {"prompt": "a", "pics": "thin.png"}])
    config = PromptsConfig(train="train.jsonl", image_key="pics")
    with pytest.raises(DataError, match=r"an image that the model's processor refuses .*ratio.* in row 2"):
        load(config, base_dir=tmp_path, seed=0, tokenizer=processor.tokenizer, processor=processor)

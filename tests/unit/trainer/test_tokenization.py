"""Prompts are tokenized as TRL tokenizes them, but a last message of the assistant is continued."""

import pytest
from PIL import Image

from grpo_plugin.trainer.tokenization import PromptTokenizer, with_images
from tests.seeing import make_processor
from tests.unit.prompts.vocabularies import CHATML, qwen, wrapped

ASKED = [{"role": "user", "content": "2+2?"}]
BEGUN = [*ASKED, {"role": "assistant", "content": "The sum is"}]
OPENED = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


def test_a_last_message_of_the_assistant_is_continued():
    tokenizer = wrapped(qwen())

    def as_trl(chats):
        made = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=True, return_dict=True)
        return made["input_ids"], None, {}

    rows = [{"prompt": BEGUN}, {"prompt": ASKED}]
    ids, images = PromptTokenizer(as_trl, tokenizer).prompts(rows)
    assert ids == [tokenizer.encode(text, add_special_tokens=False) for text in (f"{OPENED}The sum is", OPENED)]
    assert images == [None, None]


def test_template_arguments_reach_the_continued_chat():
    tokenizer = wrapped(qwen())
    template = {"chat_template": "{% if brief %}Be brief.\n{% endif %}" + CHATML, "brief": True}
    (ids,), _ = PromptTokenizer(lambda chats: 1 / 0, tokenizer, template=template).prompts([{"prompt": BEGUN}])
    assert ids == tokenizer.encode(f"Be brief.\n{OPENED}The sum is", add_special_tokens=False)


@pytest.mark.parametrize("question", ["What is it?", [{"type": "image"}, {"type": "text", "text": "What is it?"}]])
def test_a_chat_about_an_image_is_continued_behind_its_image_tokens(question):
    processor = make_processor()
    picture = Image.new("RGB", (56, 84), "red")
    asked = [{"role": "user", "content": question}]
    begun = [*asked, {"role": "assistant", "content": "It is"}]
    tokenizer = PromptTokenizer(lambda chats: 1 / 0, processor)
    (ids,), images = tokenizer.prompts([{"prompt": begun, "images": [picture]}])
    opened = processor.apply_chat_template(
        [with_images(asked, [picture])], add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"][0]
    assert ids == [*opened, *processor.tokenizer.encode("It is", add_special_tokens=False)]
    assert ids.count(processor.image_token_id) == 2 * 3  # 28 pixels to a token
    assert images == [[picture]]
    spoken = processor.tokenizer.encode(" red", add_special_tokens=False)
    assert tokenizer.completions({"prompt": begun}, ids, [spoken, []]) == ["It is red", "It is"]


def test_no_rows_have_no_prompts():
    assert PromptTokenizer(lambda chats: 1 / 0, wrapped(qwen())).prompts([]) == ([], [])

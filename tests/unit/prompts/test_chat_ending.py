"""A chat that ends with a message of the assistant is continued, without a second header."""

from grpo_plugin.prompts.chat_ending import continues, ending, tokenized_by_ending
from grpo_plugin.prompts.chat_template import ChatTemplate

from .vocabularies import CHATML, qwen, wrapped

ASKED = [{"role": "user", "content": "2+2?"}]
BEGUN = [*ASKED, {"role": "assistant", "content": "The sum is"}]


def test_which_prompts_are_continued():
    assert [continues(prompt) for prompt in (ASKED, BEGUN, "2+2?", [])] == [False, True, False, False]


def test_the_rendered_text_ends_with_the_words_to_continue():
    template = ChatTemplate(CHATML, {})
    opened, begun = template.render(ASKED), template.render(BEGUN)
    assert opened.endswith("<|im_start|>assistant\n")
    assert begun == f"{opened}The sum is"


def test_the_tokens_are_those_of_transformers():
    tokenizer = wrapped(qwen())
    start = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    for chat, text in ((ASKED, start), (BEGUN, f"{start}The sum is")):
        ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False, **ending(chat))
        assert ids == tokenizer.encode(text, add_special_tokens=False)


def test_prompts_of_both_kinds_keep_their_order():
    calls = []

    def tokenize(kind):
        return lambda chats: calls.append((kind, len(chats))) or [[kind, len(chat)] for chat in chats]

    ids = tokenized_by_ending([BEGUN, ASKED, "text", BEGUN], tokenize(0), tokenize(1))
    assert ids == [[1, 2], [0, 1], [0, 4], [1, 2]]
    assert calls == [(0, 2), (1, 2)]
    assert tokenized_by_ending([ASKED], tokenize(0), tokenize(1)) == [[0, 1]] and calls[2:] == [(0, 1)]

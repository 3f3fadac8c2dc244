"""Lengths equal `len(tokenizer.apply_chat_template(messages))`, row for row."""

from functools import partial

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from grpo_plugin.prompts.chat_template import ChatTemplate
from grpo_plugin.prompts.lengths import ChatCounter, RefusedChat, ahead

from .vocabularies import CHATML, DEFAULT_SYSTEM, LLAMA, TOKENIZERS, qwen, wrapped

SYSTEM = {"role": "system", "content": "You are a helpful assistant. " * 5}
CHATS = [
    [{"role": "user", "content": "How many apples?"}],
    [SYSTEM, {"role": "user", "content": "  12 + 34 = ?\n\n"}],
    [SYSTEM, {"role": "user", "content": "no <|im_end|> here, <s>"}],
    [SYSTEM, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "你好 😀 naïve"}] * 1,
] * 3


def naive(tokenizer: PreTrainedTokenizerFast, chat: list, **kwargs) -> int:
    return len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False, **kwargs))


@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, LLAMA], ids=["chatml", "default_system", "llama"])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_counts_are_those_of_apply_chat_template(kind, template):
    tokenizer = wrapped(TOKENIZERS[kind](), template)
    expected = [naive(tokenizer, chat) for chat in CHATS]
    counter = ChatCounter(tokenizer)
    assert counter.count(CHATS) == expected
    chunks = [CHATS[:5], CHATS[5:6], CHATS[6:]]
    measured = list(ahead(chunks, lambda chunk: partial(counter.count_rendered, counter.render(chunk))))
    assert [chunk for chunk, _ in measured] == chunks
    assert [tokens for _, counts in measured for tokens in counts] == expected


CONTINUED = [
    [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "The sum is"}],
    [SYSTEM, {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nFirst, "}],
]


@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, LLAMA], ids=["chatml", "default_system", "llama"])
@pytest.mark.parametrize("kind", ["qwen", "word_piece", "awkward"])
def test_a_last_message_of_the_assistant_is_counted_as_continued(kind, template):
    tokenizer = wrapped(TOKENIZERS[kind](), template)
    first, second = (
        len(tokenizer.apply_chat_template(chat, continue_final_message=True, return_dict=False)) for chat in CONTINUED
    )
    counted = ChatCounter(tokenizer).count([CONTINUED[0], CHATS[0], CONTINUED[1]])
    assert counted == [first, naive(tokenizer, CHATS[0]), second]


def test_a_tokenizer_with_a_way_of_its_own_is_asked_to_continue():
    class Own(PreTrainedTokenizerFast):
        def apply_chat_template(self, conversation, **kwargs):
            return [0] * (5 if kwargs.get("continue_final_message") and not kwargs["add_generation_prompt"] else 7)

    tokenizer = Own(tokenizer_object=qwen())
    tokenizer.chat_template = CHATML
    assert ChatCounter(tokenizer).count([CONTINUED[0], CHATS[0]]) == [5, 7]


def test_a_template_that_drops_the_message_to_continue_is_refused_in_one_line():
    without = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(RefusedChat) as refused:
        ChatCounter(wrapped(qwen(), without)).count([CONTINUED[0]])
    assert refused.value.position == 0 and "\n" not in str(refused.value)


def test_template_variables_and_another_template_count():
    tokenizer = wrapped(
        qwen(), CHATML.replace("assistant\n", "assistant\n{% if not thinking %}<think></think>{% endif %}")
    )
    for kwargs in ({"thinking": True}, {"thinking": False}):
        assert ChatCounter(tokenizer, kwargs).count(CHATS[:2]) == [naive(tokenizer, c, **kwargs) for c in CHATS[:2]]
    expected = [naive(tokenizer, chat, chat_template=DEFAULT_SYSTEM) for chat in CHATS[:2]]
    assert ChatCounter(tokenizer, chat_template=DEFAULT_SYSTEM).count(CHATS[:2]) == expected


def test_a_tokenizer_with_a_way_of_its_own_is_asked_itself():
    class Own(PreTrainedTokenizerFast):
        def apply_chat_template(self, conversation, **kwargs):
            return [0] * 7

    tokenizer = Own(tokenizer_object=qwen())
    tokenizer.chat_template = CHATML
    assert ChatCounter(tokenizer).count(CHATS[:3]) == [7, 7, 7]


def test_plain_text_counts_special_tokens_as_the_trainer_does():
    plain = wrapped(qwen(), None)
    assert ChatCounter(plain).count(["How many apples?"]) == [len(plain("How many apples?")["input_ids"])]


def test_a_refused_chat_is_named_by_position():
    counter = ChatCounter(wrapped(qwen(), LLAMA))
    wrong = [{"role": "assistant", "content": "hello"}]
    with pytest.raises(RefusedChat, match="roles must alternate") as refused:
        counter.count([CHATS[0], wrong])
    assert refused.value.position == 1


def test_identity_changes_with_what_changes_the_numbers():
    tokenizer = qwen()
    same = [ChatCounter(wrapped(tokenizer)).identity for _ in range(2)]
    others = [
        ChatCounter(wrapped(tokenizer, LLAMA)).identity,
        ChatCounter(wrapped(tokenizer), {"thinking": False}).identity,
        ChatCounter(wrapped(TOKENIZERS["word_piece"]())).identity,
    ]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 4


# What templates do with their environment: filters and functions of transformers, loops with controls, macros, state.
BUSY = (
    "{% macro say(m) %}{{ m.role | upper }}: {{ m['content'] | tojson }}{% endmacro %}{% set ns = namespace(seen=0) %}"
    "{%- for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{% set ns.seen = ns.seen + 1 %}"
    "{{ say(m) }}{{ loop.index }}/{{ loop.length }}{{ ' ' ~ ns.seen }}\n{% endfor %}{{ strftime_now('%Y') }}"
    "{{ eos_token }}{% if tools is none and not documents %}{{ dict(a=1).a }}{% endif %}{{ range(3) | list }}"
    "{% generation %}x{% endgeneration %}{% if thinking is defined %}{{ thinking }}{% endif %}"
)


@pytest.mark.parametrize("source", [CHATML, DEFAULT_SYSTEM, LLAMA, BUSY], ids=["chatml", "system", "llama", "busy"])
def test_templates_are_rendered_as_transformers_renders_them(source):
    variables = {"bos_token": "<s>", "eos_token": "</s>", "thinking": False}
    expected, _ = render_jinja_template(CHATS, chat_template=source, add_generation_prompt=True, **variables)
    template = ChatTemplate(source, variables)
    assert [template.render(chat) for chat in CHATS] == expected


def test_a_template_that_trips_is_told_as_one_that_refuses():
    counter = ChatCounter(wrapped(qwen(), "{{ messages[0].content + 1 }}"))
    with pytest.raises(RefusedChat, match="can only concatenate str"):
        counter.count(CHATS[:1])

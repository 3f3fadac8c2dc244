"""Every token that ends a completion counts: of the tokenizer, of the model, of the chat template."""

from types import SimpleNamespace

import pytest

from grpo_plugin.trainer.terminators import terminators

TEMPLATE = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"


class Tokenizer:
    """A tokenizer with two special tokens, and a template that closes a turn with one of them."""

    eos_token_id = 0
    chat_template = TEMPLATE

    def get_added_vocab(self):
        return {"<|start|>": 7, "<|end|>": 8}

    def apply_chat_template(self, messages, tokenize):
        assert not tokenize
        return "".join(f"<|start|>{m['role']}\n{m['content']}<|end|>\n" for m in messages)


def model(config=None, generation=None):
    return SimpleNamespace(
        config=SimpleNamespace(eos_token_id=config), generation_config=SimpleNamespace(eos_token_id=generation)
    )


@pytest.mark.parametrize(
    ("of_model", "expected"),
    [
        (model(), [0, 8]),
        (model(config=5), [0, 5, 8]),
        (model(config=5, generation=[5, 6]), [0, 5, 6, 8]),
    ],
)
def test_all_of_them_count(of_model, expected):
    assert terminators(Tokenizer(), of_model) == expected


def test_a_base_model_has_no_turns():
    tokenizer = Tokenizer()
    tokenizer.chat_template = None
    assert terminators(tokenizer, model(generation=3)) == [0, 3]


def test_a_template_that_refuses_the_chat_adds_nothing():
    class Refusing(Tokenizer):
        def apply_chat_template(self, messages, tokenize):
            raise ValueError("no assistant here")

    assert terminators(Refusing(), model()) == [0]

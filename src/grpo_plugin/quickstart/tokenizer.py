"""A byte-level BPE tokenizer with a chat template, trained on the quickstart's own words."""

from transformers import Qwen2Tokenizer

from grpo_plugin.quickstart.tasks import Task

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def make_tokenizer(task: Task) -> Qwen2Tokenizer:
    """Every byte, the special tokens, and the words of the problems; Qwen2 splits numbers into digits.

    It is Qwen2's own class because AutoTokenizer rebuilds that for the model type qwen2, whatever was saved.
    """
    problem = task.problem(47, 38)
    texts = ["system", "user", "assistant", problem.question, *problem.worked(), *problem.estimated(), *_of_tools(task)]
    untrained = Qwen2Tokenizer(pad_token=PAD, eos_token=END, additional_special_tokens=[START])
    tokenizer = untrained.train_new_from_iterator([texts] * 10, vocab_size=task.vocabulary, show_progress=False)
    tokenizer.chat_template = task.chat_template
    return tokenizer


def _of_tools(task: Task) -> list[str]:
    """What the chat template writes around tools."""
    schemas = [schema["function"] for schema in task.schemas]
    described = [f"{schema['name']}: {schema['description']}\n" for schema in schemas]
    return [*described, "\n<tool_response>\n", "\n</tool_response>"] if described else []

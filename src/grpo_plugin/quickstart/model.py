"""Making the quickstart's model: tokenizer, weights, training and held-out problems, in one folder."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.quickstart.fingerprint import FILE, fingerprint, is_ready, read_fingerprint
from grpo_plugin.quickstart.problems import Split, split, write_rows
from grpo_plugin.quickstart.tasks import TASKS, Task
from grpo_plugin.quickstart.teach import measure, teach
from grpo_plugin.quickstart.tokenizer import make_tokenizer

THREADS = 2  # more threads are slower on matrices this small


def make(folder: str | Path, settings: QuickstartConfig, progress: Callable[[float], None]) -> None:
    """Make the model in `folder`, on the CPU; do nothing if it is there already.

    The folder appears only when it is complete, also when two processes make it at once. `progress` is called with the
    share of the supervised run that is done, in (0, 1].

    Raises:
        RecipeError: when `folder` holds something that this did not make.
    """
    folder = Path(folder)
    if is_ready(folder, settings):
        return
    if folder.exists() and read_fingerprint(folder) is None:
        raise RecipeError(
            f"base_model: {str(folder)!r} exists and the quickstart did not make it; name a folder that is free."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        _write(made, settings, progress)
        _put_in_place(made, folder, settings)


def _write(folder: Path, settings: QuickstartConfig, progress: Callable[[float], None]) -> None:
    task = TASKS[settings.task]()
    problems = split(task.problem, settings.seed)
    write_rows(problems.train, folder / "train.jsonl")
    write_rows(problems.held_out, folder / "held_out.jsonl")
    tokenizer = make_tokenizer(task)
    tokenizer.save_pretrained(folder)
    with _deterministic(settings.seed):
        model = _untrained(tokenizer)
        teach(model, tokenizer, task, problems.train, settings.steps, settings.worked_share, settings.seed, progress)
        accuracy = None if task.tools else _accuracy(model, tokenizer, task, problems)
        record = {**fingerprint(settings), "held_out_accuracy": accuracy}
    model.save_pretrained(folder)
    (folder / FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _untrained(tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    """About 0.7 M random parameters; untied embeddings."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.08,  # 1/sqrt(hidden_size); with 0.02 it learns half as fast
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def _accuracy(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, task: Task, problems: Split
) -> dict[str, float]:
    return {
        "sampled": measure(model, tokenizer, task, problems.held_out, sample=True),
        "greedy": measure(model, tokenizer, task, problems.held_out, sample=False),
    }


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Same seed, same bits on the same machine; the caller's random state and number of threads are restored."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(min(threads, THREADS))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _put_in_place(made: Path, folder: Path, settings: QuickstartConfig) -> None:
    """Move `made` to `folder`, an outdated one aside; if another process was first, keep what it made."""
    try:
        if folder.exists() and not is_ready(folder, settings):
            folder.rename(made.with_name("outdated"))
        made.rename(folder)
    except OSError:
        if not is_ready(folder, settings):
            raise

"""Counting tokens of templated prompts: ours against the naive loop and against the tokenizer's own batch call alone.

    python benchmarks/stats.py                 # paired: slices of the same rows, each way in turn; ratios per slice
    python benchmarks/stats.py --scale         # 200,000 and 2,000,000 rows, each in a process of its own: time, memory

Paired ratios hold on a busy machine; the times of --scale need an idle one.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import synthetic
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.prompts.lengths import ChatCounter
from grpo_plugin.prompts.measure import Measure
from grpo_plugin.prompts.rows import RowReader
from grpo_plugin.prompts.segments import parallel_tokenizer
from grpo_plugin.recipe.sources import resolve
from grpo_plugin.stats.analysis import analyse
from grpo_plugin.stats.distribution import Distribution

BATCH = 512
SHAPES = {"plain": 0.0, "three quarters one system text": 0.75}


def loop(tokenizer: PreTrainedTokenizerFast, chats: list) -> list[int]:
    return [len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)) for chat in chats]


def batch_alone(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[int]:
    """Texts that are rendered already, with all threads: the least that tokenizing whole texts takes."""
    backend, lengths = tokenizer.backend_tokenizer, []
    with parallel_tokenizer():
        for start in range(0, len(texts), BATCH):
            encodings = backend.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False)
            lengths += [len(encoding) for encoding in encodings]
    return lengths


def ours(tokenizer: PreTrainedTokenizerFast, file: Path, system: str | None) -> Distribution:
    """From the file to the distribution: reading, wording, templating, counting."""
    config = PromptsConfig.parse("prompts", {"train": str(file), "prompt_key": "question", "system": system})
    sources = resolve("prompts.train", config.train, file.parent)
    measures = {"": Measure("stats", ChatCounter(tokenizer))}
    return analyse(RowReader(config, file.parent), sources, measures, lambda rows: None).lengths[""].prompt


def timed(work: Callable, *given: object) -> tuple[float, float, object]:
    """Seconds on the clock, seconds of processor time over all threads, and the result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work(*given)
    return time.perf_counter() - clock, time.process_time() - processor, result


def paired(folder: Path, model: Path, rows: int, slices: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    for shape, share in SHAPES.items():
        system = synthetic.system_text(share)
        times: dict[str, list[tuple[float, float]]] = {"loop": [], "batch": [], "ours": []}
        for number in range(slices):
            file = synthetic.write(folder / "slice.jsonl", rows, system_share=share, seed=number)
            chats = [synthetic.chat(json.loads(line), system) for line in file.open()]
            texts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
            *loop_s, lengths = timed(loop, tokenizer, chats)
            *batch_s, alone = timed(batch_alone, tokenizer, texts)
            *ours_s, found = timed(ours, tokenizer, file, system)
            expected = Distribution()
            expected.add(lengths)
            assert alone == lengths, "encode_batch_fast disagrees with apply_chat_template"
            assert found.to_json() == expected.to_json(), "ours disagrees with apply_chat_template"
            for name, seconds in zip(times, (loop_s, batch_s, ours_s), strict=True):
                times[name].append(tuple(seconds))
        print(f"{shape}: {found.mean:.0f} tokens a row, {slices} slices of {rows:,} rows, the same numbers")
        for position, what in enumerate(("clock", "processor time")):
            each = {name: [seconds[position] for seconds in of] for name, of in times.items()}
            faster = [loop_s / ours_s for loop_s, ours_s in zip(each["loop"], each["ours"], strict=True)]
            of_batch = [ours_s / batch_s for ours_s, batch_s in zip(each["ours"], each["batch"], strict=True)]
            medians = ", ".join(f"{name} {statistics.median(of) / rows * 1e6:.0f}" for name, of in each.items())
            print(
                f"  by the {what}: {_spread(faster)} times faster than the loop, {_spread(of_batch)} of "
                f"encode_batch_fast alone; µs a row: {medians}",
                flush=True,
            )


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def scale(folder: Path, model: Path, sizes: list[int]) -> None:
    """Each size in its own process, so that peak memory is that size's own."""
    base = None
    for rows in sizes:
        file = synthetic.write(folder / f"{rows}.jsonl", rows)
        command = [sys.executable, __file__, "--one", str(file), "--model", str(model)]
        seconds, peak = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        base = base or (seconds, peak)
        print(
            f"{rows:,} rows: {seconds:.1f} s ({seconds / rows * 1e6:.0f} µs a row, {seconds / base[0]:.2f} times the "
            f"first), peak memory {peak / 2**20:.2f} GB ({peak / base[1]:.2f} times)",
            flush=True,
        )
        file.unlink()


def one(file: Path, model: Path) -> None:
    seconds, _, _ = timed(ours, AutoTokenizer.from_pretrained(model), file, None)
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200_000, 2_000_000], help="rows, with --scale")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of a slice")
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.model)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = synthetic.tokenizer(folder / "model")
        if given.scale:
            scale(folder, model, given.sizes)
        else:
            paired(folder, model, given.rows, given.slices)


if __name__ == "__main__":
    main()

"""Starting a run from 100,000 prompts: prepared the first time, from the cache the second, each in a new process.

python benchmarks/prompts.py [--rows 100000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic

BLOCK = {"train": "train.jsonl", "prompt_key": "question", "answer_key": "answer", "max_length": 1024}


def one(folder: Path) -> None:
    """Load once and say how long the data took; the tokenizer is there already, as in a run."""
    from transformers import AutoTokenizer

    from grpo_plugin.config.prompts import PromptsConfig
    from grpo_plugin.prompts import load

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    start = time.perf_counter()
    data = load(PromptsConfig(**BLOCK), base_dir=folder, seed=0, tokenizer=tokenizer, cache_dir=folder / "cache")
    first = data.train[0]
    assert first["answer"] and first["prompt"]
    print(json.dumps([time.perf_counter() - start, len(data.train)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.tokenizer(folder / "model")
        synthetic.write(folder / "train.jsonl", given.rows)
        for what in ("first run", "second run"):
            command = [sys.executable, __file__, "--one", str(folder)]
            seconds, rows = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            print(f"{what}: {seconds:.2f} s of data work for {rows:,} prompts", flush=True)


if __name__ == "__main__":
    main()

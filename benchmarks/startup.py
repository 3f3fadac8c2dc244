"""From the command to the first optimizer step: server and trainer side by side, against one after the other.

    python benchmarks/startup.py [--runs 3]

Both ways do the same work on the quickstart's model: one vLLM server, one `axolotl train` of a single step. The second
way waits until `axolotl grpo serve` says that it is ready and only then starts a training run that uses it.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

AXOLOTL = Path(sys.executable).parent / "axolotl"
FIRST_STEP = re.compile(r"^\s+1 ")


def recipe(folder: Path, name: str, **rollout: Any) -> Path:
    values = yaml.safe_load(Path("recipes/quickstart.yaml").read_text())
    values |= {"max_steps": 1, "output_dir": str(folder / name), "save_strategy": "no"}
    values["validation"] = {"before_train": False, "after_train": False}
    values["rollout"] = values["rollout"] | rollout
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read the process's screen up to the line that matches."""
    seen = []
    assert process.stdout is not None
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    raise SystemExit("".join(seen) + f"\nended without {pattern!r}")


def start(*words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(AXOLOTL), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PATH": f"{AXOLOTL.parent}:{os.environ['PATH']}"} | env,
    )


def train(path: Path, **env: str) -> float:
    """Seconds from the command to the line of the first optimizer step."""
    began = time.perf_counter()
    process = start("train", "--num-processes=1", str(path), **env)
    until(process, FIRST_STEP.pattern)
    seconds = time.perf_counter() - began
    process.stdout.read()
    if process.wait():
        raise SystemExit(f"{path}: training failed")
    return seconds


def one_after_the_other(folder: Path) -> tuple[float, float]:
    """Seconds until the server is ready, and then until the first step of a run that uses it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    server = start("grpo", "serve", str(recipe(folder, "serve")), "--host=127.0.0.1", f"--port={port}")
    address, key = until(server, r"ready at (\S+), key (\S+)").groups()
    ready = time.perf_counter() - began
    try:
        return ready, train(recipe(folder, "after", url=address), GRPO_ROLLOUT_KEY=key)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    subprocess.run([sys.executable, "-m", "grpo_plugin.quickstart", "recipes/quickstart.yaml"], check=True)
    ratios = []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            together = train(recipe(Path(folder), "together"))
            ready, after = one_after_the_other(Path(folder))
        ratios.append(together / (ready + after))
        print(
            f"run {run + 1}: side by side {together:.1f} s; server {ready:.1f} s + training {after:.1f} s", flush=True
        )
    print(f"together against one after the other: {statistics.median(ratios):.2f} (median of {runs})")


if __name__ == "__main__":
    main()

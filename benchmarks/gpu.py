"""What must be measured on a GPU, in parts that have a time limit and can be resumed.

    python benchmarks/gpu.py [--out outputs/gpu] [--seconds 840] [--only agreement-0.5b update-0.5b] [--again]

Parts run in order of importance, each in a process of its own with a time limit, and within `--seconds` for all of
them. A part writes a row to its JSON file as soon as it has one; what is there is not measured again (`--again` does).
A row that cannot be measured says why. At the end all of it stands in `gpu.json`, with card, versions and commit, and
in a table. Weights are random: no model is loaded from anywhere.

| part | what |
|---|---|
| agreement | packed log-probabilities and gradients against each sequence alone, by type and attention |
| update | one update of a ragged batch: ours and TRL's, tokens/s, MFU, memory and the planner's estimate of it |
| training | ten optimizer steps on recorded samples, full and LoRA, in bf16: Axolotl's trainer is not run here |
| shared-memory | 3 GB of weights from the device through /dev/shm and back |
| nccl | two NCCL ranks on one card |

`--tiny` runs every part on the CPU with a tiny model in this process: a test does, so that every part keeps working.
For a machine with torch, CUDA and transformers alone, `make gpu-wheels` collects what is missing in .whl/; there
`pip install --no-index --no-deps --target DIR .whl/*.whl` and `PYTHONPATH=DIR`.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.gpu_parts import Record, agreement, nccl, shared_memory, training, update  # noqa: E402

# In order of importance: part, what runs it, and its seconds at most.
PARTS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "agreement-0.5b": (agreement, {"size": "0.5b"}, 150),
    "update-0.5b": (update, {"size": "0.5b"}, 120),
    "training-0.5b": (training, {"size": "0.5b"}, 120),
    "update-1.5b": (update, {"size": "1.5b"}, 150),
    "agreement-1.5b": (agreement, {"size": "1.5b"}, 180),
    "shared-memory": (shared_memory, {}, 90),
    "nccl": (nccl, {}, 60),
}
LIBRARIES = ("torch", "transformers", "trl", "peft", "flash-attn", "accelerate")


def environment() -> dict[str, Any]:
    """The card, the versions and the commit."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "card": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if cuda else None,
        "python": platform.python_version(),
        "commit": _commit(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _commit() -> str | None:
    """None on a machine without git, or in a copy without history."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_part(name: str, out: Path, *, tiny: bool, again: bool) -> None:
    """Measure the rows of a part that its file does not have yet."""
    function, arguments, _ = PARTS[name]
    file = out / f"{name}.json"
    if again:
        file.unlink(missing_ok=True)
    function(Record(file), tiny=tiny, **arguments)


def run_bounded(name: str, out: Path, seconds: float, *, again: bool) -> str | None:
    """Run a part in a process of its own; what went wrong, if anything did."""
    command = [sys.executable, __file__, "--part", name, "--out", str(out), *(["--again"] if again else [])]
    try:
        done = subprocess.run(command, timeout=seconds, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s; run the command again to go on"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return None


def table(parts: dict[str, dict[str, Any]]) -> str:
    """One line for each row measured."""
    lines = []
    for part, rows in parts.items():
        for row, values in rows.items():
            shown = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
            lines.append(f"{part:16} {row:32} {shown}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def collect(out: Path, notes: dict[str, str]) -> dict[str, Any]:
    """All parts' files as one."""
    rows = {name: Record(out / f"{name}.json").rows for name in PARTS}
    for name, note in notes.items():
        rows[name] = {**rows[name], "(part)": {"reason": note}}
    return {"environment": environment(), "parts": {name: found for name, found in rows.items() if found}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"))
    parser.add_argument("--seconds", type=float, default=840.0, help="for all parts together")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, with a tiny model")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part:
        run_part(options.part, options.out, tiny=False, again=options.again)
        return
    end, notes = time.monotonic() + options.seconds, {}
    for name in options.only:
        left = min(PARTS[name][2], end - time.monotonic())
        if options.tiny and name.endswith("1.5b"):
            continue  # the same code as for 0.5b, whose shape is the same here
        if options.tiny:
            run_part(name, options.out, tiny=True, again=options.again)
        elif left < 20:
            notes[name] = "no time left; run the command again to go on"
        elif note := run_bounded(name, options.out, left, again=options.again):
            notes[name] = note
    report = collect(options.out, notes)
    (options.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(", ".join(f"{name} {value}" for name, value in report["environment"].items() if value))
    print(table(report["parts"]))


if __name__ == "__main__":
    main()

"""Every preset on the quickstart, with vLLM: the step from which held-out accuracy stays at its goal, and the curves.

    python benchmarks/learning.py [--names dapo grpo] [--steps 40]

Runs `axolotl train` once per preset, the recipe's settings otherwise unchanged, and writes docs/learning.md and
docs/learning.png. A preset whose run exists already under outputs/learning/ is not run again.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from grpo_plugin.algorithms.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = ROOT / "outputs" / "learning"
GOAL = 0.9
SLOW = {"grpo_passk": 400}  # steps of presets that need more than the others
PASS_AT_K = (
    "grpo_passk rewards a group for its one best completion alone. Where two or more are right, all advantages are "
    "0:\nit raises the chance that at least one of a group is right; accuracy of single samples rises more slowly."
)
Curve = list[tuple[int, float]]


def recipe(name: str, steps: int) -> Path:
    """The quickstart's recipe with the preset as its paper has it."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text())
    values |= {"algorithm": {"name": name}, "max_steps": steps, "output_dir": str(OUTPUTS / name)}
    values["validation"] = {"every": max(5, steps // 40), "samples": 2, "greedy": False, "metric": "accuracy"}
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    path = OUTPUTS / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def curve(name: str, steps: int) -> Curve:
    """(step, sampled held-out accuracy) of a run, trained now if it has not been."""
    steps = SLOW.get(name, steps)
    log = OUTPUTS / name / "evaluations.jsonl"
    if not log.exists() or _read(log)[-1][0] < steps:
        print(f"{name} …", flush=True)
        command = ["axolotl", "train", "--num-processes=1", str(recipe(name, steps))]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return [(step, accuracy) for step, accuracy in _read(log) if step <= steps]


def _read(log: Path) -> Curve:
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return [(entry["step"], entry["overall"]["sampled"]) for entry in entries]


def reached(points: Curve) -> int | None:
    """The first validated step from which accuracy never falls below the goal again."""
    below = [step for step, accuracy in points if accuracy < GOAL]
    return next((step for step, _ in points if not below or step > below[-1]), None)


def draw(curves: dict[str, Curve], path: Path) -> None:
    columns = 4
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(11, 1.9 * rows + 0.6), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axis, (name, points) in zip(axes, curves.items(), strict=False):
        axis.plot(*zip(*points, strict=True), color="#2563a8", linewidth=1.8)
        axis.axhline(GOAL, color="#bbbbbb", linewidth=0.8, linestyle="--")
        axis.set_title(name, fontsize=10)
        axis.set_ylim(0.35, 1.02)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    figure.supxlabel("optimizer step", fontsize=10)
    figure.supylabel("held-out accuracy, sampled", fontsize=10)
    FigureCanvasAgg(figure).print_png(str(path))


def page(curves: dict[str, Curve], steps: int) -> str:
    lines = [
        "# What each preset learns",
        "",
        f"`python benchmarks/learning.py`: the quickstart for {steps} optimizer steps with each preset as it is",
        f"({', '.join(f'{name}: {slow}' for name, slow in SLOW.items())}); from which step accuracy, sampled on 253",
        f"held-out problems every 5 steps (or 40 times), stays at {GOAL:g} or more.",
        "",
        "| preset | step | accuracy at the start | at the end |",
        "|---|---|---|---|",
    ]
    for name, points in curves.items():
        step = reached(points)
        lines.append(f"| {name} | {'not' if step is None else step} | {points[0][1]:.3f} | {points[-1][1]:.3f} |")
    if "grpo_passk" in curves:
        lines += ["", PASS_AT_K]
    return "\n".join([*lines, "", "![held-out accuracy over the steps, by preset](learning.png)", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", choices=PRESETS, default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    curves = {name: curve(name, options.steps) for name in options.names}
    (ROOT / "docs" / "learning.md").write_text(page(curves, options.steps))
    draw(curves, ROOT / "docs" / "learning.png")
    for name, points in curves.items():
        print(f"{name:30} {reached(points) or 'not':>4} {points[-1][1]:.3f}")


if __name__ == "__main__":
    main()

"""The learning curve of a run as a PNG: training reward above, validation accuracy below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo_plugin.files import atomic_write
from grpo_plugin.validation.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, SAMPLED, GREEDY = "#2563a8", "#c2571a", "#3a7d44"
PASS_AT = ["#7a5195", "#a05195", "#b07aa1", "#5b4a8a"]
STYLE: Any = {
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#e5e5e5",
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "legend.frameon": False,
}


def draw(history: Sequence[Mapping[str, Any]], evaluations: Sequence[Evaluation], path: Path, title: str) -> None:
    """Draw `trainer.state.log_history` and the evaluations into the PNG at `path`; it is replaced as a whole.

    Reward has its own axis, since it may have any scale; accuracy is drawn only if there are evaluations. A run that
    logged no reward and was never validated has no curve, and no file is written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rewards = [(entry["step"], entry["reward"]) for entry in history if entry.get("reward") is not None]
    panels = [panel for panel in (rewards, evaluations) if panel]
    if not panels:
        return
    with rc_context(STYLE):
        figure = Figure(figsize=(10, 2.4 + 2.2 * len(panels)), dpi=120, layout="constrained")
        axes = list(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0])
        figure.suptitle(title, fontsize=13, fontweight="bold")
        axes[-1].set_xlabel("optimizer step")
        if rewards:
            _rewards(axes[0], rewards)
        if evaluations:
            _accuracy(axes[-1], evaluations)
        figure.align_ylabels(axes)
        with atomic_write(path) as file:
            FigureCanvasAgg(figure).print_png(file)


def smooth(values: Sequence[float], span: float) -> list[float]:
    """Exponential moving average with the weight of a mean over `span` values, without bias at the start."""
    keep, total, weight, averages = 1 - 2 / (span + 1), 0.0, 0.0, []
    for value in values:
        total = keep * total + value
        weight = keep * weight + 1
        averages.append(total / weight)
    return averages


def _rewards(axes: Axes, rewards: Sequence[tuple[int, float]]) -> None:
    steps, values = zip(*rewards, strict=True)
    span = max(5, len(values) // 12)
    axes.plot(steps, values, color=TRAIN, alpha=0.3, linewidth=1, label="each step")
    axes.plot(steps, smooth(values, span), color=TRAIN, linewidth=2.2, label=f"mean of about {span} steps")
    axes.set_ylabel("training reward")
    axes.legend(loc="best")


def _accuracy(axes: Axes, evaluations: Sequence[Evaluation]) -> None:
    last = evaluations[-1]
    lines = {
        "sampled": ([each.overall.sampled for each in evaluations], SAMPLED, "o-"),
        "greedy": ([each.overall.greedy for each in evaluations], GREEDY, "s-"),
    }
    for k, color in zip((k for k in last.overall.pass_at if k > 1), PASS_AT, strict=False):
        lines[f"pass@{k}"] = [each.overall.pass_at.get(k) for each in evaluations], color, "^--"
    for name, (values, color, marks) in lines.items():
        known = [(each.step, value) for each, value in zip(evaluations, values, strict=True) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), marks, color=color, label=f"{name} ({known[-1][1]:.3f} at the end)")
    axes.set_ylabel(f"validation {last.metric}")
    axes.legend(loc="best")

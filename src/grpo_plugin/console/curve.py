"""The learning curve of a run as a PNG: training reward above, validation accuracy below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpo_plugin.files import atomic_write
from grpo_plugin.validation.accuracy import Evaluation, by_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, SAMPLED, GREEDY = "#2563a8", "#c2571a", "#3a7d44"
OTHERS = ["#7a5195", "#a05195", "#b07aa1", "#5b4a8a"]  # pass@k, maj@k
COLORS = {"sampled": SAMPLED, "greedy": GREEDY}
MARKS = {"sampled": "o-", "greedy": "s-"}
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
    """One set's figures in their colours; of several sets the samples alone, each in a colour of its own."""
    sets = by_set(evaluations)
    for place, (name, of_set) in enumerate(sets.items()):
        figures = [figure for figure, _ in of_set[-1].overall.figures() if figure not in ("pass@1", "maj@1")]
        for index, figure in enumerate(figures if len(sets) == 1 else figures[:1]):
            color = COLORS.get(figure, OTHERS[index % len(OTHERS)]) if len(sets) == 1 else f"C{place}"
            _line(axes, of_set, figure, color, "" if len(sets) == 1 else f"{name} ")
    axes.set_ylabel("validation" if len(sets) > 1 else f"validation {evaluations[-1].metric}")
    axes.legend(loc="best")


def _line(axes: Axes, evaluations: Sequence[Evaluation], figure: str, color: str, prefix: str) -> None:
    """A figure over the steps, with a band of one standard error on either side."""
    known = []
    for each in evaluations:
        value = dict(each.overall.figures()).get(figure)
        if value is not None:
            known.append((each.step, value, each.overall.stderr.get(figure, 0.0)))
    if not known:
        return
    steps, values, errors = zip(*known, strict=True)
    label = f"{prefix}{figure} ({values[-1]:.3f} at the end)"
    axes.plot(steps, values, MARKS.get(figure, "^--"), color=color, label=label)
    lower, upper = ([v + sign * e for v, e in zip(values, errors, strict=True)] for sign in (-1, 1))
    axes.fill_between(steps, lower, upper, color=color, alpha=0.15, linewidth=0)

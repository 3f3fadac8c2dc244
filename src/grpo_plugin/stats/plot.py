"""The histogram as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.stats.distribution import Distribution
from grpo_plugin.stats.length_report import TokenizerReport

BINS = 80


def plot(reports: Mapping[str, TokenizerReport], path: Path) -> None:
    """Write a PNG: for each tokenizer a panel with prompts, answers and completions, and the recommended limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(reports)), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (name, report) in zip(figure.subplots(len(reports), squeeze=False)[:, 0], reports.items(), strict=True):
        _draw(panel, {f"{what}s": part for what, part in report.parts.items()})
        limit = report.recommendation.max_length
        panel.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"prompts.max_length {limit:,}")
        panel.set(title=name, xlabel="tokens", ylabel="rows")
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw(panel: Any, parts: Mapping[str, Distribution]) -> None:
    """All in bins of the same width, so that equal heights are equally many rows; outliers are in the legend."""
    first, last = min(part.least for part in parts.values()), max(part.usual for part in parts.values())
    width = -(-(last - first + 1) // BINS)
    edges = range(first, last + width + 1, width)
    for what, part in parts.items():
        beyond = part.over(edges[-1] - 1)
        label = f"{what}\n({beyond:,} longer, up to {part.most:,})" if beyond else what
        panel.stairs(part.histogram(edges), edges, fill=True, alpha=0.5, label=label)

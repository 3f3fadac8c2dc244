"""The histogram as a picture."""

from collections.abc import Mapping
from pathlib import Path

from grpo_plugin.stats.distribution import Distribution
from grpo_plugin.stats.report import TokenizerReport

BINS = 80


def plot(reports: Mapping[str, TokenizerReport], path: Path) -> None:
    """Write a PNG: for each tokenizer a panel with prompts, answers and completions, and the recommended limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(reports)), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (name, report) in zip(figure.subplots(len(reports), squeeze=False)[:, 0], reports.items(), strict=True):
        parts = {"prompts": report.lengths.prompt, "answers": report.lengths.answer, "completions": report.completion}
        for what, part in parts.items():
            if part is not None and part.rows:
                _draw(panel, what, part)
        limit = report.recommendation.max_length
        panel.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"prompts.max_length {limit:,}")
        panel.set(title=name, xlabel="tokens", ylabel="rows")
        panel.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw(panel: object, what: str, lengths: Distribution) -> None:
    bins = lengths.bins(BINS)
    edges = [first for first, _, _ in bins] + [bins[-1][1] + 1]
    panel.stairs([rows for _, _, rows in bins], edges, fill=True, alpha=0.5, label=what)  # type: ignore[attr-defined]

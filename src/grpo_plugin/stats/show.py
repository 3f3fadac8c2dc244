"""Reports in the terminal."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

from grpo_plugin.stats.distribution import QUANTILES, Distribution
from grpo_plugin.stats.length_report import TokenizerReport
from grpo_plugin.stats.recommend import Recommendation

BINS = 16
BAR = 40
COMMENT = 78
EIGHTHS = " ▏▎▍▌▋▊▉█"


def show(reports: Mapping[str, TokenizerReport], console: Console) -> None:
    """Print each tokenizer's figures, histogram, longest rows and recommendation."""
    for name, report in reports.items():
        console.print(Group(*_details(name, report)))


def _figures(report: TokenizerReport) -> Table:
    table = Table(Column("", no_wrap=True), box=None, padding=(0, 2, 0, 0))
    for column in ("rows", "min", "mean", *QUANTILES, "max"):
        table.add_column(column, justify="right", no_wrap=True)
    for what, part in report.parts.items():
        table.add_row(what, *(f"{value:,.0f}" for value in part.summary().values()))
    return table


def _details(name: str, report: TokenizerReport) -> list[RenderableType]:
    prompt = report.lengths.prompt
    over = ", ".join(f"over {limit:,}: {rows:,} ({rows / prompt.rows:.2%})" for limit, rows in report.over.items())
    longest = Table(Column("tokens", no_wrap=True), Column("row", no_wrap=True), "begins", box=None, padding=(0, 1))
    for row in report.lengths.longest:
        begins = Text(row.text, no_wrap=True, overflow="ellipsis")
        longest.add_row(f"{row.tokens:,}", f"{_short(row.label)} row {row.row:,}", begins)
    return [
        Text(f"\nLengths in tokens of {name}", style="bold"),
        _figures(report),
        Text("\nprompts in the chat template", style="bold"),
        histogram(prompt),
        Text(f"prompts over a limit: {over}"),
        Text("\nlongest prompts", style="bold"),
        longest,
        Text("\nrecommended for the recipe", style="bold"),
        Syntax(as_yaml(report.recommendation), "yaml", background_color="default"),
    ]


def _short(label: str) -> str:
    """A file by its name; a data set of the hub as it is."""
    path = Path(label)
    return path.name if path.is_absolute() else label


def histogram(lengths: Distribution) -> Text:
    """One line per bin: the range of lengths, a bar to an eighth of a character, the rows."""
    bins = lengths.bins(BINS)
    most = max(rows for _, _, rows in bins)
    wide = len(f"{bins[-1][1]:,}")
    lines = (f"{first:>{wide},}–{last:<{wide},} {_bar(rows / most)} {rows:,}" for first, last, rows in bins)
    return Text("\n".join(lines))


def _bar(share: float) -> str:
    """A bar of at most BAR characters; a share over 0 is drawn as an eighth of a character at least."""
    eighths = max(round(share * BAR * 8), 1 if share else 0)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(BAR)


def as_yaml(values: Recommendation) -> str:
    why_prompt, why_completion = map(_comment, values.because)
    return (
        f"prompts:\n{why_prompt}\n  max_length: {values.max_length}\n"
        f"trl:\n{why_completion}\n  max_completion_length: {values.max_completion_length}\n"
        f"sequence_len: {values.total}\n"
        f"vllm:\n  max_model_len: {values.total}"
    )


def _comment(text: str) -> str:
    """Lines that stay comments when they are copied from a narrow terminal or from a pipe."""
    return textwrap.fill(text, COMMENT, initial_indent="  # ", subsequent_indent="  # ")

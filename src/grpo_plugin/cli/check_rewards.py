"""`axolotl grpo check-rewards RECIPE`: the recipe's rewards on its data, without a model."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.recipe import check, read
from grpo_plugin.scoring.reward_check import Example, FunctionReport, rehearse

_SHOWN = 10


@click.command("check-rewards")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--rows", type=click.IntRange(min=2), default=200, show_default=True, help="Rows of training data.")
@errors_exit_2
def check_rewards(recipe: str, rows: int) -> None:
    """Score gold answers, empty completions and other rows' answers with the rewards of RECIPE.

    Exits with 1 if a reward does not score as it should, with 2 if it cannot be called at all.
    """
    examples, reports, notes = _rehearse(recipe, rows)
    console = Console()
    console.print(table(reports, len(examples)))
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    troubles = [f"{report.name} {problem}." for report in reports for problem in report.problems]
    troubles += [_rows(f"{report.name} does not give its best to", report.unscored) for report in reports]
    troubles = [trouble for trouble in troubles if trouble]
    for trouble in troubles:
        console.print(trouble, style="red", highlight=False, soft_wrap=True)
    sys.exit(1 if troubles else 0)


def _rehearse(path: str, rows: int) -> tuple[list[Example], list[FunctionReport], list[str]]:
    from grpo_plugin.scoring import load

    recipe = check(read(path))
    if recipe.prompts is None or recipe.rewards is None:
        raise RecipeError(f"recipe {path!r}: names no prompts or no rewards; add PromptPlugin and RewardPlugin.")
    examples = list(islice(training_examples(recipe.prompts, recipe.folder), rows))
    rewards = load(recipe.rewards, recipe.folder)
    try:
        return examples, rehearse(rewards, examples), rewards.notes()
    finally:
        rewards.close()


def training_examples(config: PromptsConfig, folder: Path) -> Iterator[Example]:
    """The rows of `prompts.train`, in the order of its files, as rewards will see them.

    Raises:
        DataError: a source is missing, or the rows read so far have bad ones among them.
    """
    from grpo_plugin.prompts.row_errors import RowErrors
    from grpo_plugin.prompts.rows import RowReader
    from grpo_plugin.recipe.sources import resolve

    reader, row_errors = RowReader(config, folder), RowErrors("prompts.train")
    for source in resolve("prompts.train", config.train, folder):
        for chunk in reader.read(source, row_errors, streaming=True):
            row_errors.check()
            for prompt in chunk.prompts:
                label = f"{Path(chunk.label).name} row {prompt.number}"
                yield Example(label, prompt.messages, {**prompt.columns, "row": prompt.number})


def table(reports: Sequence[FunctionReport], rows: int) -> Table:
    """One line per function: what it reads, what it gave, how fast it is and where it runs."""
    drawn = Table(title=f"rewards on {rows} rows", title_justify="left", box=SIMPLE)
    for name in ("function", "reads"):
        drawn.add_column(name, overflow="fold")
    for name in ("gold", "empty", "other", "ms", "rows/s"):
        drawn.add_column(name, justify="right")
    drawn.add_column("runs in")
    for report in reports:
        means = [_number(mean) for mean in (report.gold, report.empty, report.shuffled)]
        speed = f"{1 / report.seconds:,.0f}" if report.seconds else ""
        reads = ", ".join(report.columns) or "no column"
        drawn.add_row(report.name, reads, *means, f"{report.seconds * 1e3:.3f}", speed, report.place)
    return drawn


def _number(mean: float | None) -> str:
    return "none" if mean is None else f"{mean:.3f}"


def _rows(sentence: str, labels: Sequence[str]) -> str:
    if not labels:
        return ""
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f"{sentence} the gold answer of {len(labels)} rows: {'; '.join(labels[:_SHOWN])}{more}."

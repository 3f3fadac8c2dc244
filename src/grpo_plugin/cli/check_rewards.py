"""`axolotl grpo check-rewards RECIPE`: the recipe's rewards on its data, without a model."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe, check, read
from grpo_plugin.scoring.completions import opening_of
from grpo_plugin.scoring.reward_check import FunctionReport, GoldRow, check_on

if TYPE_CHECKING:
    from grpo_plugin.prompts.measure import Measure
    from grpo_plugin.scoring import RewardSet

_SHOWN = 10


@click.command("check-rewards")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--rows", type=click.IntRange(min=2), default=200, show_default=True, help="Rows of training data.")
@errors_exit_2
def check_rewards(recipe: str, rows: int) -> None:
    """Score gold answers, empty completions and other rows' answers with the rewards of RECIPE.

    Exits with 1 if a reward does not score as it should, with 2 if it cannot be called at all.
    """
    tried, reports, notes = _check(recipe, rows)
    console = Console()
    console.print(table(reports, tried))
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    troubles = [f"{report.name} {problem}." for report in reports for problem in report.problems]
    troubles += [_rows(f"{report.name} does not give its highest score to", report.unscored) for report in reports]
    troubles = [trouble for trouble in troubles if trouble]
    for trouble in troubles:
        console.print(trouble, style="red", highlight=False, soft_wrap=True)
    sys.exit(1 if troubles else 0)


def _check(path: str, rows: int) -> tuple[int, list[FunctionReport], list[str]]:
    """The number of rows tried, a report for each function, and notes for the user."""
    from grpo_plugin.scoring import load

    recipe = check(read(path))
    if recipe.makes_prompts:
        raise RecipeError(
            f"recipe {path!r}: its environment makes the prompts, so that there are no rows to try; "
            "its rewards, get_reward() among them, are given to episodes alone."
        )
    if recipe.rewards is None and recipe.environments is not None:
        raise RecipeError(
            f"recipe {path!r}: names no reward functions; what get_reward() gives can only be tried in an episode."
        )
    if recipe.prompts is None or recipe.rewards is None:
        raise RecipeError(f"recipe {path!r}: names no prompts or no rewards; add PromptPlugin and RewardPlugin.")
    measure, notes = _measure(recipe)
    gold_rows = list(islice(training_rows(recipe.prompts, recipe.folder, measure), rows))
    notes += _notes_on(gold_rows)
    rewards = load(recipe.rewards, recipe.folder)
    notes += _leave_out_environments(rewards)
    try:
        return len(gold_rows), check_on(rewards, gold_rows), [*notes, *rewards.notes()]
    finally:
        rewards.close()


def _leave_out_environments(rewards: "RewardSet") -> list[str]:
    """Take out the functions that look at environments, which need an episode; a note names them.

    Raises:
        RecipeError: nothing is left to try.
    """
    left_out = [reward.name for reward in rewards.rewards if "environments" in reward.signature.extras]
    rewards.rewards = [reward for reward in rewards.rewards if reward.name not in left_out]
    if left_out and not rewards.rewards:
        raise RecipeError(
            f"rewards.functions: {', '.join(left_out)} score environments, so only episodes can try them."
        )
    return [f"Not tried, as they score environments: {', '.join(left_out)}."] if left_out else []


def _measure(recipe: Recipe) -> tuple["Measure", list[str]]:
    """The `Measure` with the run's tokenizer, and a note where that tokenizer cannot be loaded."""
    from grpo_plugin.prompts.measure import Measure
    from grpo_plugin.stats.request import Request
    from grpo_plugin.stats.tokenizers import measures

    assert recipe.prompts is not None
    try:
        [measure] = measures(Request(recipe.prompts, recipe.folder, recipe=recipe.values)).values()
        return measure, []
    except (RecipeError, OSError, ValueError, ImportError) as error:
        note = "Tried with chat messages, without the model's chat template, which is not known"
        return Measure("prompts.train", None), [f"{note}: {str(error).rstrip('.')}."]


def training_rows(config: PromptsConfig, folder: Path, measure: "Measure") -> Iterator[GoldRow]:
    """The rows of `prompts.train`, in the order of its files, as rewards will get them.

    Raises:
        DataError: a source is missing, the rows read so far have bad ones among them, or the model's chat template
            refuses one.
    """
    from grpo_plugin.prompts.row_errors import RowError, RowErrors
    from grpo_plugin.prompts.rows import RowReader
    from grpo_plugin.recipe.sources import resolve

    reader, row_errors = RowReader(config, folder), RowErrors("prompts.train")
    for source in resolve("prompts.train", config.train, folder):
        for chunk in reader.read(source, row_errors, streaming=True):
            for prompt in chunk.prompts:
                row_errors.check()
                label = f"{Path(chunk.label).name} row {prompt.number}"
                try:
                    chat = measure.chat(prompt)
                    text = _rendered(measure, chat)
                except RowError as error:
                    row_errors.add(chunk.label, prompt.number, error)
                    continue
                yield GoldRow(label, chat, {**prompt.columns, "row": prompt.number}, text)
    row_errors.check()


def _rendered(measure: "Measure", chat: Any) -> str:
    """The prompt through the model's chat template, generation prompt included; "" where that is not known."""
    from grpo_plugin.prompts.lengths import RefusedChat
    from grpo_plugin.prompts.row_errors import RowError

    if measure.counter is None:
        return ""
    try:
        [rendered] = measure.counter.render([chat])
    except RefusedChat as refused:
        raise RowError(str(refused)) from None
    return rendered if isinstance(rendered, str) else ""


def _notes_on(rows: Sequence[GoldRow]) -> list[str]:
    """The form in which rewards get completions, where it is not plain chat messages."""
    notes = []
    if any(isinstance(row.prompt, str) for row in rows):
        notes.append("The model has no chat template: rewards get prompts and completions as text, not as messages.")
    openings = dict.fromkeys(opening_of(row.prompt_text).strip() for row in rows)
    if opened := ", ".join(filter(None, openings)):
        notes.append(f"Prompts end with {opened}, which rewards get at the beginning of each completion.")
    return notes


def table(reports: Sequence[FunctionReport], rows: int) -> Table:
    """One line per function: what it reads, what it gave, how fast it is and where it runs."""
    drawn = Table(title=f"rewards on {rows} rows", title_justify="left", box=SIMPLE)
    for name in ("function", "reads"):
        drawn.add_column(name, overflow="fold")
    for name in ("gold", "empty", "other", "ms", "rows/s"):
        drawn.add_column(name, justify="right")
    drawn.add_column("runs in")
    for report in reports:
        means = [_number(mean) for mean in (report.gold, report.empty, report.other)]
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

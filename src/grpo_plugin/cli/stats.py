"""`axolotl grpo stats` and `python stats.py`: how long prompts and answers are, before a sequence length is chosen."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.errors import RecipeError

if TYPE_CHECKING:
    from grpo_plugin.stats.request import Split

FILE = click.Path(path_type=Path)
PICTURES = (".png", ".pdf", ".svg")


@click.command()
@click.argument("recipe", required=False, type=FILE)
@click.option("--dataset", multiple=True, help="Data instead of the recipe's, written as in prompts.train.")
@click.option("--tokenizer", "tokenizers", multiple=True, help="Folder or hub name; may be given several times.")
@click.option("--split", type=click.Choice(["train", "validation"]), default="train", show_default=True)
@click.option("--prompt-key", help="Column with the question, or with chat messages.")
@click.option("--answer-key", help="Column with the gold answer.")
@click.option("--image-key", help="Column with images; the tokenizers must then come with a processor.")
@click.option("--system", help="System message put before every prompt.")
@click.option("--template", help="Jinja file or text; gets every column and `content`.")
@click.option("--completions", type=FILE, help="Generated completions (a file, or output_dir/generations).")
@click.option("--completion-key", default="completion", show_default=True, help="Their column.")
@click.option(
    "--limit", "limits", multiple=True, type=click.IntRange(min=1), help="Count the prompts over this length."
)
@click.option("--png", type=FILE, help="File for the picture; by default lengths.png in the recipe's output_dir.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as JSON, and no picture unless --png is given."
)
@click.option("--cache/--no-cache", default=True, help="Use and keep results of the same data and tokenizers.")
@errors_exit_2
def stats(recipe: Path | None, **options: Any) -> None:
    """Lengths of templated prompts, answers and completions in tokens, and the sequence lengths that hold them.

    Measure RECIPE, or --dataset with --tokenizer.
    """
    _run(recipe, **options)


def _run(
    recipe: Path | None,
    *,
    dataset: tuple[str, ...],
    tokenizers: tuple[str, ...],
    split: "Split",
    completions: Path | None,
    completion_key: str,
    limits: tuple[int, ...],
    png: Path | None,
    as_json: bool,
    cache: bool,
    **wording: Any,
) -> None:
    from rich.console import Console

    from grpo_plugin.prompts.readers import expected_rows
    from grpo_plugin.prompts.store import default_cache
    from grpo_plugin.recipe.sources import resolve
    from grpo_plugin.stats.length_report import report
    from grpo_plugin.stats.plot import plot
    from grpo_plugin.stats.request import request
    from grpo_plugin.stats.show import show
    from grpo_plugin.stats.tokenizers import measures

    _check_picture(png)
    asked = request(recipe, dataset, tokenizers, split, **wording)
    sources = resolve(f"prompts.{split}", asked.sources, asked.base_dir)
    with _progress(expected_rows(sources)) as progress:
        reports = report(
            asked,
            measures(asked),
            completions=completions,
            completion_key=completion_key,
            limits=limits,
            cache=default_cache() / "stats" if cache else None,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({name: result.to_json() for name, result in reports.items()}, indent=2))
    else:
        show(reports, Console())
        png = png or Path(asked.recipe.get("output_dir") or ".") / "lengths.png"
    if png:
        plot(reports, png)
        click.echo(f"picture: {png}", err=as_json)


def _check_picture(png: Path | None) -> None:
    """Check that the picture can be written, before anything is measured."""
    if png is None:
        return
    if png.suffix.lower() not in PICTURES:
        raise RecipeError(f"--png: {str(png)!r} is no known kind of picture; known: {', '.join(PICTURES)}.")
    try:
        png.parent.mkdir(parents=True, exist_ok=True)
        png.open("ab").close()
    except OSError as error:
        raise RecipeError(f"--png: {str(png)!r} cannot be written ({error.strerror}); name another file.") from None


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on the error stream, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda rows: bar.advance(task, rows)

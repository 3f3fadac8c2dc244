"""`axolotl grpo score --rewards … FILE.jsonl`: saved completions scored by reward functions."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import read
from grpo_plugin.scoring.aggregate import mean_of_known

Scores = dict[str, list[float | None]]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rewards",
    required=True,
    multiple=True,
    help="A recipe (its `rewards:` block is used), or a function; may be repeated.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="By default, standard output.")
@click.option("--batch", type=click.IntRange(min=1), default=512, show_default=True, help="Rows scored at a time.")
@errors_exit_2
def score(file: Path, rewards: tuple[str, ...], out: Path | None, batch: int) -> None:
    """Score the completions in FILE (JSON lines): each row comes back with its scores and their weighted total.

    A row has its completion under `completion`, `response`, `output`, `text` or `messages`, its prompt under `prompt`,
    and the columns that the rewards read. The means go to standard error.
    """
    config, folder = _configuration(rewards)
    with out.open("w", encoding="utf-8") if out else nullcontext(sys.stdout) as written:
        scores = _score(config, folder, file, batch, written)
    for name, column in scores.items():
        print(_summary(name, column), file=sys.stderr)


def _configuration(rewards: Sequence[str]) -> tuple[RewardsConfig, Path]:
    recipes = [name for name in rewards if name.endswith((".yaml", ".yml"))]
    if not recipes:
        functions = [{"function": name} for name in rewards]
        return RewardsConfig.parse("rewards", {"functions": functions}), Path.cwd()
    if len(rewards) > 1:
        raise RecipeError(f"--rewards: got {', '.join(rewards)}; give one recipe, or functions alone.")
    block = read(recipes[0]).get("rewards")
    if block is None:
        raise RecipeError(f"recipe {recipes[0]!r}: has no `rewards:` block; add one, or name functions with --rewards.")
    return RewardsConfig.parse("rewards", block), Path(recipes[0]).parent


def _score(config: RewardsConfig, folder: Path, file: Path, size: int, out: TextIO) -> Scores:
    """Write the rows of `file` with their scores, batch by batch; all scores by name."""
    from grpo_plugin.scoring import load
    from grpo_plugin.scoring.saved_completions import read_rows, score_rows

    rewards = load(config, folder)
    scores: Scores = defaultdict(list)
    try:
        for rows in _batches(read_rows(file), size):
            for row in score_rows(rewards, rows):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                for name, value in row["scores"].items():
                    scores[name].append(value)
    finally:
        rewards.close()
    return scores


def _batches(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def _summary(name: str, column: Sequence[float | None]) -> str:
    mean, missing = mean_of_known(column), column.count(None)
    shown = "none" if mean is None else f"{mean:.4f}"
    return f"{name}: mean {shown} over {len(column) - missing} rows, {missing} without a score"

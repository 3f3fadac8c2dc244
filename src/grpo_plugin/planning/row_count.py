"""The number of prompts that a recipe trains on, where it can be counted without loading them."""

from pathlib import Path

from grpo_plugin.errors import DataError
from grpo_plugin.prompts.readers import parquet_rows
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.sources import Source, resolve

# Rows of the splits that recipes name, from their dataset cards.
KNOWN = {
    ("hiyouga/math12k", "train"): 12000,
    ("openai/gsm8k", "train"): 7473,
    ("hiyouga/geometry3k", "train"): 2101,
}


def count_rows(recipe: Recipe) -> int | None:
    """Rows of `prompts.train` before any is dropped; None if a source is not here, or must be loaded to be counted.

    Raises:
        DataError: a .parquet file that is not one.
    """
    if recipe.prompts is None:
        return None
    try:
        sources = resolve("prompts.train", recipe.prompts.train, recipe.folder)
    except DataError:
        return None
    counts = [_count(source) for source in sources]
    return None if None in counts else sum(count for count in counts if count is not None)


def _count(source: Source) -> int | None:
    if source.task is not None:
        return source.task.size
    if source.hub is not None:
        return KNOWN.get((source.hub.name, source.hub.split))
    counts = [_rows_of_file(path) for path in source.files]
    return None if None in counts else sum(count for count in counts if count is not None)


def _rows_of_file(path: Path) -> int | None:
    if path.suffix.lower() == ".jsonl":
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    if path.suffix.lower() == ".parquet":
        return parquet_rows(path)
    return None

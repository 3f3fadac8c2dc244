"""Template and local data that could not be read, found in seconds: what loading them would say half a minute later."""

import time
from collections.abc import Iterator
from pathlib import Path

from grpo_plugin.config.prompts import Sources
from grpo_plugin.errors import DataError, RecipeError
from grpo_plugin.prompts.row_errors import RowErrors
from grpo_plugin.prompts.rows import RowReader
from grpo_plugin.prompts.wording import compile_template, template_text
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.sources import resolve

READ_SECONDS = 3.0
"""How long the rows of one field are read; the rest is checked when they are loaded."""


def data_problems(recipe: Recipe) -> Iterator[str]:
    """One sentence for each of the template, the training and the held-out rows that cannot be used.

    Datasets of the hub and images are not looked at; a recipe with a `quickstart:` block makes its own data.
    """
    prompts = recipe.prompts
    if prompts is None or recipe.quickstart is not None:
        return
    try:
        for _, of_field in prompts.fields():
            if of_field.template:
                compile_template(template_text(of_field.template, recipe.folder))
    except RecipeError as error:
        yield str(error)
        return
    for field, of_field in prompts.fields():
        reader = RowReader(of_field.model_copy(update={"image_key": None}), recipe.folder)
        try:
            _check(field, of_field.train, reader, recipe.folder)
        except (DataError, RecipeError) as error:
            yield str(error)


def _check(field: str, sources: Sources, reader: RowReader, base_dir: Path) -> None:
    """Read the rows of one field.

    Raises:
        DataError: a file or row that cannot be used, or a source without rows.
    """
    row_errors, deadline = RowErrors(field), time.monotonic() + READ_SECONDS
    for source in resolve(field, sources, base_dir):
        if source.hub is not None:
            continue
        any_row = False
        for _ in reader.read(source, row_errors):
            any_row = True
            if time.monotonic() > deadline:
                row_errors.check(so_far=True)
                return
        if not any_row:
            raise DataError(f"{field}: {source.spec!r} has no rows; name a file or split that has some.")
    row_errors.check()

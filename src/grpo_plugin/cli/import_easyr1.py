"""`axolotl grpo import-easyr1 config.yaml [dotted.overrides=…] > recipe.yaml`."""

import sys
from pathlib import Path
from typing import Any

import click
import yaml

from grpo_plugin.errors import GrpoPluginError, RecipeError
from grpo_plugin.importing.easyr1 import import_easyr1 as imported
from grpo_plugin.importing.text import recipe_text


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False))
@click.argument("overrides", nargs=-1)
def import_easyr1(config: str, overrides: tuple[str, ...]) -> None:
    """Print the recipe for EasyR1's CONFIG and the OVERRIDES of its command line (worker.rollout.n=8 …).

    Every key becomes one of the recipe's, or is listed in its last lines with the reason.
    """
    try:
        print(recipe_text(imported(_read(config), overrides)), end="")
    except GrpoPluginError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _read(path: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path!r}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path!r}: expected EasyR1's sections (data, algorithm, worker, trainer).")
    return values

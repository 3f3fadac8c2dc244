"""`axolotl grpo import-easyr1 config.yaml [dotted.overrides=…] > recipe.yaml`."""

from pathlib import Path

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.convert.easyr1.config_file import read_file
from grpo_plugin.convert.easyr1.conversion import convert_config
from grpo_plugin.convert.easyr1.recipe_text import recipe_text


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False))
@click.argument("overrides", nargs=-1)
@errors_exit_2
def import_easyr1(config: str, overrides: tuple[str, ...]) -> None:
    """Print the recipe for EasyR1's CONFIG and the OVERRIDES of its command line (worker.rollout.n=8 …).

    Every key becomes one of the recipe's, or is listed in its last lines with the reason.
    """
    print(recipe_text(convert_config(read_file(Path(config)), overrides)), end="")

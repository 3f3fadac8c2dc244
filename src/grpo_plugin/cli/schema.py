"""`axolotl grpo schema`: the JSON schema of a recipe, so that an editor completes and checks it."""

import json
import sys
from contextlib import redirect_stdout

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of a recipe, for editors.

    With yaml-language-server (VS Code, Neovim, …): write the schema to a file, and name it in the recipe's first line,
    `# yaml-language-server: $schema=grpo.schema.json`.
    """
    from grpo_plugin.recipe.json_schema import recipe_schema

    with redirect_stdout(sys.stderr):  # libraries that Axolotl imports may print
        document = recipe_schema()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))

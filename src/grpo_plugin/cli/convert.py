"""`axolotl grpo convert`: foreign data files to rows that `prompts:` reads."""

from pathlib import Path

import click

from grpo_plugin.cli.exit_codes import errors_exit_2


@click.group()
def convert() -> None:
    """Convert foreign data files to rows that a recipe reads."""


@convert.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--verbose", is_flag=True, help="Show every record as it is converted.")
@errors_exit_2
def raiden(source: Path, target: Path, verbose: bool) -> None:
    """Role-playing records {character_profile, question, answer, keywords, …} in SOURCE to prompts in TARGET (.jsonl).

    Train on TARGET with prompt_key: prompt, answer_key: answer, template: recipes/prompts/role_playing.jinja, and
    image_key: images if there are any. Both `image` and `images` are kept, the first first.
    """
    from grpo_plugin.convert.raiden import write

    def show(number: int, row: dict) -> None:
        if verbose:
            words = f"{len(row['keywords'])} keywords, {len(row['images'])} images"
            click.echo(f"record {number}: {str(row['prompt'])[:60]!r} → {str(row['answer'])[:40]!r}, {words}")

    records = write(source, target, show)
    click.echo(f"{records:,} records of {source} → {target}")

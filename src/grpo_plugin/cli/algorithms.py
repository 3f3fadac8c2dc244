"""`axolotl grpo algorithms`: the table of presets."""

import click

from grpo_plugin.algorithms.presets import COLUMNS, PRESETS, markdown, rows
from grpo_plugin.console.final_report import aligned


@click.command()
@click.option("--markdown", "as_markdown", is_flag=True, help="As a Markdown table, as docs/algorithms.md has it.")
def algorithms(as_markdown: bool) -> None:
    """Print what each name of `algorithm: {name: …}` stands for; any part may be overridden by its key."""
    click.echo(markdown().rstrip() if as_markdown else text())


def text() -> str:
    """The table in aligned columns, and where a preset departs from its source."""
    lines = aligned([COLUMNS, *rows()], "<" * len(COLUMNS))
    notes = [f"{name}: {preset.departs}" for name, preset in PRESETS.items() if preset.departs]
    return "\n".join([*lines, "", *notes])

"""`axolotl grpo report`: one HTML file about one or several runs."""

from pathlib import Path

import click

from grpo_plugin.cli.exit_codes import errors_exit_2


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; by default RUN/report.html.")
@click.option("--completions", type=click.IntRange(min=1), default=100_000, help="Completions it holds at most.")
@errors_exit_2
def report(runs: tuple[Path, ...], out: Path | None, completions: int) -> None:
    """Curves, completions, recipe, versions and alarms of RUNS (their output_dir) in one HTML file.

    It opens from the disk without a network. Several runs are drawn over one another; without --out the file is then
    report.html in the working directory.
    """
    from grpo_plugin.console.report.page import write_report

    path = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    written = write_report(runs, path, rows=completions)
    for run, sentence in zip(runs, written.sentences, strict=True):
        click.echo(f"{run}: {sentence}")
    click.echo(f"{path}: {written.bytes / 1e6:.1f} MB")

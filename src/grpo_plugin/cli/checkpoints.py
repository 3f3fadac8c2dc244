"""`axolotl grpo checkpoints RUN`: the checkpoints of a run, what each has reached, and which can be loaded as it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.run_folder import run_folder
from grpo_plugin.console.final_report import aligned
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.checkpoint_layout import not_ready, size_of
from grpo_plugin.recipe.checkpoints import checkpoints as found_in
from grpo_plugin.recipe.checkpoints import defect
from grpo_plugin.validation.evaluation_log import EvaluationLog

ACCURACIES = ("accuracy_sampled", "accuracy_greedy")
UNITS = ("B", "KB", "MB", "GB", "TB")


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@errors_exit_2
def checkpoints(run: Path) -> None:
    """List the checkpoints of RUN, a recipe or its output_dir: step, reward, held-out figures, size.

    INFERENCE READY says whether Transformers and vLLM can load the folder; of the others `axolotl grpo export`
    makes one that they can.
    """
    folder = run_folder(run)
    found = found_in(folder)
    if not found:
        raise RecipeError(f"{folder}: has no checkpoint; set save_steps to save one every so many steps.")
    table = [("CHECKPOINT", "STEP", "REWARD", "HELD-OUT", "SIZE", "INFERENCE READY"), *(row(path) for path in found)]
    click.echo("\n".join(aligned(table, "<" * len(table[0]))))


def row(checkpoint: Path) -> tuple[str, ...]:
    """The cells of one checkpoint."""
    reason = not_ready(checkpoint) or defect(checkpoint)
    state = _state(checkpoint)
    history = state.get("log_history") or []
    return (
        checkpoint.name,
        str(state.get("global_step", "-")),
        _last(history, "reward"),
        _held_out(checkpoint, state.get("global_step")),
        shown_size(size_of(checkpoint)),
        f"no: {reason}" if reason else "yes",
    )


def shown_size(size: float) -> str:
    """Bytes with three digits and a unit of a thousand: `14.2 MB`."""
    for unit in UNITS[:-1]:
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {UNITS[-1]}"


def _state(checkpoint: Path) -> Mapping[str, Any]:
    try:
        state: Mapping[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def _held_out(checkpoint: Path, step: int | None) -> str:
    """The accuracies of the last evaluation up to this step."""
    known = [each for each in EvaluationLog(checkpoint.parent / "evaluations.jsonl").read() if each.step <= (step or 0)]
    if not known:
        return "-"
    last = [each for each in known if each.step == known[-1].step]  # one for each set
    figures = {name: value for each in last for name, value in each.logs().items() if name.endswith(ACCURACIES)}
    shown = [f"{name.removeprefix('eval_').replace('accuracy_', '')} {value:.3f}" for name, value in figures.items()]
    return f"{', '.join(shown)} (step {known[-1].step})" if shown else "-"


def _last(history: list[Mapping[str, Any]], name: str) -> str:
    return next((f"{logs[name]:.3f}" for logs in reversed(history) if name in logs), "-")

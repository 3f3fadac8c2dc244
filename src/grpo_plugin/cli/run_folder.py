"""RUN and CHECKPOINT of a command line: a recipe, its output_dir, or a checkpoint in it."""

import json
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe, parse, read
from grpo_plugin.recipe.checkpoint_layout import layout_of
from grpo_plugin.recipe.checkpoints import newest_whole
from grpo_plugin.recipe.resuming import recipe_values, step_of
from grpo_plugin.validation.evaluation_log import EvaluationLog

SUFFIXES = (".yaml", ".yml")


def run_folder(run: Path) -> Path:
    """The folder of a run; of a recipe its output_dir.

    Raises:
        RecipeError: the recipe has not been run here.
    """
    if run.suffix not in SUFFIXES:
        return run
    folder = parse(read(run)).output_dir
    if not folder.is_dir():
        raise RecipeError(f"{run}: its output_dir {str(folder)!r} is not here; run it first, or name another folder.")
    return folder


def model_folder(checkpoint: Path) -> Path:
    """A folder with weights: a checkpoint, a finished run, or the newest whole checkpoint of an unfinished one.

    Raises:
        RecipeError: there are no weights in it.
    """
    folder = run_folder(checkpoint)
    if layout_of(folder) != "none":
        return folder
    newest = newest_whole(folder)
    if newest is None:
        raise RecipeError(f"{folder}: has neither a model nor a whole checkpoint; name a folder `checkpoint-STEP`.")
    return newest


def recipe_of(folder: Path) -> Recipe | None:
    """The recipe that a checkpoint was saved with, or that the run in `folder` has; None where none was kept."""
    newest = newest_whole(folder)
    kept = (recipe_values(place) for place in (folder, newest) if place is not None)
    values = next((found for found in kept if found is not None), None) or _of_run(folder)
    return None if values is None else parse(values)


def is_checkpoint(folder: Path) -> bool:
    """Whether it is a checkpoint of a run, and not the model of a finished one."""
    return (folder / "trainer_state.json").is_file()


def steps_done(folder: Path) -> int:
    """Of a checkpoint its step; of the model of a finished run the last step that is known of it."""
    if is_checkpoint(folder):
        return step_of(folder)
    newest = newest_whole(folder)
    evaluations = EvaluationLog(folder / "evaluations.jsonl").read()
    return max([0, *([step_of(newest)] if newest else []), *(evaluation.step for evaluation in evaluations)])


def _of_run(folder: Path) -> dict[str, Any] | None:
    """The recipe in run.json, which a run without checkpoints has, too."""
    path = folder / "run.json"
    if not path.is_file():
        return None
    values: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")).get("recipe")
    return values

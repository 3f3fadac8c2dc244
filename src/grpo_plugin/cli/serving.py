"""What `serve`, `chat` and `compare` share: the server of a recipe or of a checkpoint."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.export import exported
from grpo_plugin.cli.run_folder import SUFFIXES, model_folder, recipe_of
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.recipe import Recipe, check, read
from grpo_plugin.recipe.checkpoint_layout import not_ready
from grpo_plugin.recipe.secrets import without_hidden
from grpo_plugin.rollout.server.endpoint import make_run_dir
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server

EXPORTED = "exported"
# Of a model that is whole: nothing about an adapter or a server of its training.
OF_TRAINING = ("adapter", "revision_of_model")


@dataclass(frozen=True)
class Serving:
    """A server to start.

    Attributes:
        model: the name that requests carry.
        recipe: what the model was, or is to be, trained with; None where that is not known.
    """

    plan: ServerPlan
    model: str
    log: Path
    recipe: Recipe | None

    @contextmanager
    def running(self) -> Iterator[Server]:
        """The server, ready; it ends with the block.

        Raises:
            RolloutError: it does not get ready in `rollout.start_timeout` seconds.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        server = self.plan.launch(make_run_dir(), self.log)
        try:
            server.wait_ready(self.plan.rollout.start_timeout)
            yield server
        finally:
            server.stop()


def of_target(
    target: Path,
    *,
    model: str | None = None,
    num_processes: int | None = None,
    address: Mapping[str, Any] | None = None,
) -> Serving:
    """The server of a recipe, or of the model in a folder.

    Args:
        model: serve this in place of the recipe's base model.
        num_processes: of a trainer beside it; None for a server that may have every GPU.
        address: `host` and `port`, in place of the recipe's.

    Raises:
        RecipeError: the recipe is wrong, the folder has no model, or GPUs and recipe do not fit.
    """
    if target.suffix in SUFFIXES:
        recipe = check(read(target))
        if model is not None:
            ready = str(whole(model_folder(Path(model)))) if Path(model).is_dir() else model
            return of_recipe(recipe, ready, None, num_processes, address)
        rollout = recipe.rollout or RolloutConfig()
        return _serving(recipe.values, rollout, recipe, recipe.output_dir / "vllm.log", num_processes, address)
    folder = model_folder(target)
    return of_recipe(recipe_of(folder), str(whole(folder)), folder / "vllm.log", num_processes, address)


def of_recipe(
    recipe: Recipe | None,
    model: str,
    log: Path | None = None,
    num_processes: int | None = None,
    address: Mapping[str, Any] | None = None,
) -> Serving:
    """The server of a whole `model`, a folder or a name of the hub, with the settings of a recipe.

    Args: as `of_target`; `log` is by default `vllm.log` in the recipe's output_dir.
    """
    values = dict(recipe.values) if recipe else {}
    values = {key: value for key, value in values.items() if key not in OF_TRAINING} | {"base_model": model}
    rollout = (recipe.rollout if recipe else None) or RolloutConfig()
    args, hidden = without_hidden(rollout.args)
    for name in hidden:
        click.echo(f"rollout.args: {name} is a secret, which is not kept with a run; vLLM starts without it", err=True)
    rollout = RolloutConfig.parse("rollout", rollout.model_dump() | {"url": None, "lora": "merged", "args": args})
    log = log or (recipe.output_dir if recipe else Path.cwd()) / "vllm.log"
    return _serving(values, rollout, recipe, log, num_processes, address)


def whole(folder: Path) -> Path:
    """The folder, or what is exported of it, once, where vLLM cannot load it as it is.

    An export that is older than the weights, of an earlier run in the same folder, is made again.
    """
    reason = not_ready(folder)
    if reason is None:
        return folder
    run = folder.parent if folder.name.startswith("checkpoint-") else folder
    out = run / EXPORTED / folder.name
    if not_ready(out) is not None or _written(out) < _written(folder):
        shutil.rmtree(out, ignore_errors=True)
        click.echo(f"{folder}: {reason}; exporting it to {out}")
        click.echo(exported(folder, out, recorded=False))
    return out


def _written(folder: Path) -> float:
    """When the newest weights in it were written, in seconds since 1970."""
    files = [*folder.glob("*model*.safetensors"), *folder.glob("*/*.distcp"), *folder.glob("*/*_states.pt")]
    return max((file.stat().st_mtime for file in files), default=0.0)


def _serving(
    values: Mapping[str, Any],
    rollout: RolloutConfig,
    recipe: Recipe | None,
    log: Path,
    num_processes: int | None,
    address: Mapping[str, Any] | None,
) -> Serving:
    if address:
        rollout = RolloutConfig.parse("rollout", rollout.model_dump() | dict(address))
    trains_here = num_processes is not None
    plan = plan_server(values, rollout, os.environ, num_processes=num_processes, trains_here=trains_here)
    return Serving(plan, str(values["base_model"]), log, recipe)

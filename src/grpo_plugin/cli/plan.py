"""`axolotl grpo plan RECIPE`: what a run needs and whether it would start, without loading anything."""

import os
import sys
from typing import Any

import click
import yaml

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.errors import RecipeError
from grpo_plugin.launcher.arguments import config_first, read_train
from grpo_plugin.launcher.options import override_names, unknown
from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.main_memory import installed
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_text import report
from grpo_plugin.planning.row_count import count_rows
from grpo_plugin.recipe import parse, read
from grpo_plugin.rollout.server.devices import visible_gpus


class _RecipeAnywhere(click.Command):
    """Takes RECIPE from anywhere among the options, as `axolotl train` does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, config_first(args, _names(self, with_value=True)))


def _names(command: click.Command, *, with_value: bool = False) -> set[str]:
    """The command's own options; only those that take a value, if asked."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    return {name for option in options if not (with_value and option.is_flag) for name in option.opts}


@click.command(cls=_RecipeAnywhere, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--gpus", type=click.IntRange(0), help="GPUs of each machine; by default those visible here.")
@click.option(
    "--num-processes", type=click.IntRange(1), help="Trainer processes on all machines; by default all GPUs left."
)
@click.option(
    "--nodes", "--num-machines", "nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines."
)
@click.option("--gpu-memory", type=click.FloatRange(1), default=80, show_default=True, help="GiB of one GPU.")
@click.option("--rows", type=click.IntRange(1), help="Prompts in the training data, where they cannot be counted.")
@click.option("--merged", is_flag=True, help="Print the recipe with its base merged in, and nothing else.")
@click.pass_context
@errors_exit_2
def plan(context: click.Context, **options: Any) -> None:
    """Print GPU roles, batch arithmetic, memory, disk, vLLM's command, and the problems of RECIPE.

    Takes the overrides that `axolotl train` takes (--learning-rate=1e-5 --trl.num-generations=8). Exits with 2 if the
    run could not start.
    """
    values = read(options["recipe"], _overrides(context, options["recipe"]))
    if options["merged"]:
        values.pop("axolotl_config_path")
        print(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), end="")
        return
    planned = _plan(values, options)
    print(report(planned))
    sys.exit(2 if planned.problems else 0)


def _overrides(context: click.Context, recipe: str) -> dict[str, Any]:
    """The overrides among the arguments that are no options of this command.

    Raises:
        RecipeError: one of the arguments is no override either.
    """
    known = {*_names(context.command), *override_names()}
    if mistake := unknown(context.args, known, "`axolotl grpo plan --help` and `axolotl train --help`"):
        raise RecipeError(mistake)
    arguments = read_train(["train", recipe, *context.args])
    return arguments.overrides if arguments else {}


def _plan(values: dict[str, Any], options: dict[str, Any]) -> Plan:
    recipe = parse(values)
    gpus = len(visible_gpus()) if options["gpus"] is None else options["gpus"]
    here = installed() if options["gpus"] is None else None
    gpu_memory = int(options["gpu_memory"] * GIB)
    machine = Machine(gpus, options["num_processes"], options["nodes"], gpu_memory, memory=here)
    rows = options["rows"] or count_rows(recipe)
    return Plan(recipe, machine, rows=rows, online=not os.environ.get("HF_HUB_OFFLINE"))

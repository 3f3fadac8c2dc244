"""Checks that the machines and processes of the command line fit the recipe, before anything starts."""

import os
from pathlib import Path

from grpo_plugin.errors import RecipeError
from grpo_plugin.launcher.arguments import TrainArguments
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.main_memory import installed
from grpo_plugin.planning.problems import problems
from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.server.devices import visible_gpus


def check_machine(recipe: Recipe, arguments: TrainArguments) -> None:
    """Check what `axolotl grpo plan` checks, if accelerate launches; torchrun and Ray have numbers of their own.

    Raises:
        RecipeError: for the first problem, in the words of `plan`.
    """
    if arguments.launcher != "accelerate":
        return
    _check_meeting(arguments)
    gpus, rank = len(visible_gpus(os.environ)), arguments.machine_rank or 0
    machine = Machine(gpus, arguments.num_processes, max(1, arguments.num_machines), rank=rank, memory=installed())
    for problem in problems(recipe, machine):
        raise RecipeError(problem)


def _check_meeting(arguments: TrainArguments) -> None:
    """Check that the command line says how several machines reach each other.

    Without it accelerate fails late, or trains with the GPUs of this machine alone.
    """
    if arguments.num_machines < 2 or _configured(arguments):
        return
    needed = ("num_processes", "machine_rank", "main_process_ip", "main_process_port")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(arguments, name) is None]
    if missing:
        raise RecipeError(
            f"{', '.join(missing)}: missing; with --num-machines={arguments.num_machines} give every machine the "
            "same --num-processes (of all together), --main-process-ip and --main-process-port (a free one of the "
            "first), and its own --machine-rank, from 0 on."
        )


def _configured(arguments: TrainArguments) -> bool:
    """Whether accelerate reads a configuration file, which may say what the command line does not."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("HF_HOME", f"{cache}/huggingface")).expanduser()
    return bool(arguments.config_file) or (home / "accelerate" / "default_config.yaml").is_file()

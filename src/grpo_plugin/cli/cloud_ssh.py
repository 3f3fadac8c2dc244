"""`axolotl grpo cloud ssh HOST RECIPE`: a recipe on a machine behind ssh."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cloud.ssh import Remote, paths_of
from grpo_plugin.errors import RecipeError
from grpo_plugin.launcher.arguments import read_train
from grpo_plugin.recipe import Recipe, check, read


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("host")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--folder", help="Where the run works there; by default grpo/NAME, of the recipe.")
@click.option(
    "--axolotl",
    default="axolotl",
    show_default=True,
    help="The program there: in the PATH, or a path below the home or the folder.",
)
@click.option("--ssh", default="ssh", show_default=True, help='With its options: "ssh -p 2222".')
@click.option("--secret", "secrets", multiple=True, help="A variable set here that the run gets; may be repeated.")
@click.option("--follow", "action", flag_value="follow", help="Show the screen of a run that was started before.")
@click.option("--stop", "action", flag_value="stop", help="Have the run save a checkpoint and end.")
@click.option("--fetch", "action", flag_value="fetch", help="Copy output_dir from there.")
@click.pass_context
@errors_exit_2
def ssh(context: click.Context, **options: Any) -> None:
    """Train RECIPE on HOST, and show the run's screen here; Ctrl-C leaves the run alone.

    Files that the recipe names are copied. Options of `axolotl train` (--num-processes=7, --learning-rate=1e-6,
    --auto-resume-from-checkpoints) are passed on.
    """
    arguments = read_train(["train", options["recipe"], *context.args])
    if arguments is None:
        raise RecipeError(f"{options['recipe']!r}: no recipe; its name ends in .yaml or .yml.")
    if arguments.mistake:
        raise RecipeError(arguments.mistake)
    recipe = check(read(options["recipe"], arguments.overrides))
    remote = Remote(
        options["host"],
        options["folder"] or f"grpo/{recipe.name}",
        options["axolotl"],
        tuple(shlex.split(options["ssh"])),
    )
    match options["action"]:
        case "stop":
            remote.stop()
        case "fetch":
            remote.fetch(_output(recipe))
        case action:
            if action is None:
                _start(remote, recipe, arguments.passed, options["secrets"])
            sys.exit(_follow(remote))


def _start(remote: Remote, recipe: Recipe, words: list[str], secrets: tuple[str, ...]) -> None:
    missing = [name for name in secrets if not os.environ.get(name)]
    if missing:
        raise RecipeError(f"--secret: {missing[0]} is not set here; export it, or leave it out.")
    _output(recipe)
    paths = paths_of(recipe)
    remote.check()  # before the files of a run that is under way are replaced
    print(f"files    {len(paths)} to {remote.host}:{remote.folder}", flush=True)
    remote.send(paths)
    path = Path(recipe.values["axolotl_config_path"]).resolve().relative_to(Path.cwd()).as_posix()
    command = ["train", path, *words]
    print(f"command  {remote.axolotl} {shlex.join(command)}", flush=True)
    remote.start(command, {name: os.environ[name] for name in secrets})


def _output(recipe: Recipe) -> str:
    if recipe.output_dir.is_absolute() or ".." in recipe.output_dir.parts:
        raise RecipeError(
            f"output_dir: {str(recipe.output_dir)!r} is a path of this machine alone; name a relative one, which is "
            "below --folder there."
        )
    return recipe.output_dir.as_posix()


def _follow(remote: Remote) -> int:
    try:
        return remote.follow()
    except KeyboardInterrupt:
        print(f"\nthe run goes on at {remote.host}:{remote.folder}; --follow shows it, --stop ends it")
        return 130

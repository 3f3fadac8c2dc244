"""`axolotl grpo cloud …`: a recipe on a machine behind ssh, or on FlexAI, whose commands are printed or run."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import click

from grpo_plugin.cli.cloud_ssh import ssh
from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cloud.flexai import FlexAIJob, prefetch
from grpo_plugin.errors import RecipeError
from grpo_plugin.launcher.arguments import read_train
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.problems import problems, serving_gpus
from grpo_plugin.recipe import Recipe, check, read


@click.group()
def cloud() -> None:
    """A recipe on another machine; Modal's is `axolotl train RECIPE --cloud cloud/modal.yaml`."""


cloud.add_command(ssh)


@cloud.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--accels", type=click.IntRange(1), required=True, help="GPUs of the node.")
@click.option("--repository-url", required=True, help="A clone with the recipe, which FlexAI can read.")
@click.option("--requirements-path", default="cloud/flexai.requirements.txt", show_default=True, help="In the clone.")
@click.option("--name", help="Of the job; by default the recipe's.")
@click.option("--secret", "secrets", multiple=True, help="VARIABLE=NAME of a secret at FlexAI; may be repeated.")
@click.option("--runtime", help="One of FlexAI's runtimes.")
@click.option("--checkpoint", help="A model pushed to FlexAI, in place of the recipe's from the hub.")
@click.option("--run", is_flag=True, help="Start the job, with FlexAI's program, instead of printing the commands.")
@click.pass_context
@errors_exit_2
def flexai(context: click.Context, **options: Any) -> None:
    """Print the commands for RECIPE on one node of FlexAI: training, following it, serving the result.

    Options of `axolotl train` (--learning-rate=1e-6) are passed on.
    """
    arguments = read_train(["train", options["recipe"], *context.args])
    assert arguments is not None
    if arguments.mistake:
        raise RecipeError(arguments.mistake)
    recipe = check(read(options["recipe"], arguments.overrides))
    job = _job(recipe, options, arguments.passed)
    if options["run"]:
        sys.exit(_run(job))
    hf_secret = job.secrets.get("HF_TOKEN", "SECRET")
    model = str(recipe.values["base_model"])
    _print("train", [job.command()])
    _print("follow", job.follow())
    _print("serve a checkpoint", job.serve())
    _print("load the model beforehand, for --checkpoint", prefetch(f"{job.name}-model", model, hf_secret))


def _job(recipe: Recipe, options: dict[str, Any], overrides: list[str]) -> FlexAIJob:
    accels = options["accels"]
    for problem in problems(recipe, Machine(accels)):
        raise RecipeError(f"{problem.rstrip('.')} (--accels {accels}).")
    return FlexAIJob(
        name=options["name"] or recipe.name.replace("_", "-"),
        recipe=options["recipe"],
        accels=accels,
        processes=accels - serving_gpus(recipe),
        repository=options["repository_url"],
        requirements=options["requirements_path"],
        secrets=dict(_secret(text) for text in options["secrets"]),
        runtime=options["runtime"],
        checkpoint=options["checkpoint"],
        overrides=overrides,
    )


def _secret(text: str) -> tuple[str, str]:
    variable, equals, name = text.partition("=")
    if not (variable and equals and name):
        raise RecipeError("--secret: expected VARIABLE=NAME, the name of a secret at FlexAI; never its value.")
    return variable, name


def _run(job: FlexAIJob) -> int:
    if shutil.which("flexai") is None:
        raise RecipeError("--run: there is no program flexai here; install FlexAI's, or leave --run out.")
    return subprocess.call(job.command())


def _print(what: str, commands: Iterable[list[str]]) -> None:
    print(f"# {what}")
    for command in commands:
        print(shlex.join(command))

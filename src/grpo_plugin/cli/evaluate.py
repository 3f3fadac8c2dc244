"""`axolotl grpo evaluate RECIPE --model PATH`: the held-out sets of a recipe, answered by a finished model."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.quiet import silence_libraries
from grpo_plugin.cli.run_folder import model_folder, steps_done
from grpo_plugin.cli.serving import OF_TRAINING, whole
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError, suggestion
from grpo_plugin.recipe import Recipe, check, read

if TYPE_CHECKING:
    from grpo_plugin.environments.loading import Environments
    from grpo_plugin.rollout.server.handle import ServerHandle
    from grpo_plugin.trainer.validator import HeldOutRows
    from grpo_plugin.validation.accuracy import Evaluation


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False))
@click.option("--model", help="The model, checkpoint or run to evaluate, instead of the recipe's base_model.")
@click.option("--set", "sets", multiple=True, help="Only this set of prompts.validation; may be repeated.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where evaluations.jsonl and validation/ go; by default PARENT-MODEL in output_dir or outputs/RECIPE.",
)
@errors_exit_2
def evaluate(recipe: str, model: str | None, sets: tuple[str, ...], out: Path | None) -> None:
    """Answer the held-out prompts of RECIPE with a model in vLLM, score the answers, and write and show the figures.

    The recipe needs `prompts.validation` and `validation`; nothing is trained, and training rows may be missing.
    What vLLM cannot load as it is (a LoRA adapter, shards) is exported first.
    """
    silence_libraries()
    source = model_folder(Path(model)) if model and Path(model).is_dir() else model
    checked = _check(recipe, source, sets)
    folder = out or _folder(checked, source or str(checked.values["base_model"]))
    _refuse_training(folder)
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = _evaluate(checked, folder, steps_done(source) if isinstance(source, Path) else 0)
    _show(evaluations, folder, checked)


def _check(path: str, model: str | Path | None, sets: Sequence[str]) -> Recipe:
    """The recipe with the chosen model, which vLLM can load, and sets."""
    values = read(path)
    if model is not None:
        ready = whole(model) if isinstance(model, Path) else model
        values = {key: value for key, value in values.items() if key not in OF_TRAINING} | {"base_model": str(ready)}
    recipe = check(values, evaluates=True)
    assert recipe.prompts is not None
    known = dict(recipe.prompts.validation or {})
    for name in sets:
        if name not in known:
            raise RecipeError(f"--set: no set {name!r} in prompts.validation; {suggestion(name, known)}")
    if not sets:
        return recipe
    chosen = {name: prompts for name, prompts in known.items() if name in sets}
    return recipe.replace(prompts=recipe.prompts.model_copy(update={"validation": chosen, "train": []}))


def _folder(recipe: Recipe, model: str | Path) -> Path:
    """Where the figures of a model go: named after it and its parent, as many runs have a `checkpoint-100`."""
    root = recipe.output_dir if recipe.values.get("output_dir") else Path("outputs") / recipe.name
    path = Path(model).resolve() if Path(model).is_dir() else Path(model)
    return root / "-".join(part for part in path.parts[-2:] if part != path.anchor)


def _refuse_training(out: Path) -> None:
    """Raise RecipeError for the folder of a run or a checkpoint, whose own evaluations this one would replace."""
    for name in ("run.json", "trainer_state.json"):
        if (out / name).exists():
            raise RecipeError(f"--out: {out} belongs to training (it has {name}); name another folder.")


def _evaluate(recipe: Recipe, out: Path, step: int) -> "list[Evaluation]":
    """Start vLLM, load prompts and rewards beside it, evaluate set by set, end vLLM.

    Args:
        step: optimizer steps that the model was trained for, where that is known; else 0.
    """
    from accelerate import Accelerator

    from grpo_plugin.rollout.generation_log import GenerationLog
    from grpo_plugin.trainer.served_model import ServedModel, episodes_of, generator_of
    from grpo_plugin.trainer.validator import Validator
    from grpo_plugin.validation.evaluation_log import EvaluationLog

    rollout = recipe.rollout or RolloutConfig()
    server = _server(recipe, rollout, out)
    with ExitStack() as opened:
        opened.callback(server.stop)
        where = f"the server at {rollout.url}" if rollout.url else f"log in {out / 'vllm.log'}"
        print(f"vLLM serves {recipe.values['base_model']}; {where}")
        environments = _environments(recipe, opened)
        processing_class, config, sets = _load(recipe, environments, opened)
        server.wait_ready(rollout.start_timeout)
        backend = ServedModel(
            server.client,
            verify_version=server.counts_versions,
            image_token=processing_class.image_token_id if hasattr(processing_class, "image_processor") else None,
        )
        generator = generator_of(recipe, backend, processing_class, config)
        log, accelerator = GenerationLog(out / "validation"), Accelerator(cpu=True)
        episodes = None
        if environments is not None:
            episodes = episodes_of(recipe, environments, generator, processing_class, config, accelerator)
        evaluations = Validator(sets, generator, accelerator, log, episodes)(step)
    EvaluationLog(out / "evaluations.jsonl").replace(evaluations)
    return evaluations


def _server(recipe: Recipe, rollout: RolloutConfig, out: Path) -> "ServerHandle":
    from grpo_plugin.rollout.run_server import URL_KEY
    from grpo_plugin.rollout.server.endpoint import make_run_dir
    from grpo_plugin.rollout.server.handle import ServerHandle
    from grpo_plugin.rollout.server.server_plan import plan_server

    if rollout.url:
        model = str(recipe.values["base_model"])
        return ServerHandle.external(rollout.url, os.environ.get(URL_KEY), rollout.request_timeout, model)
    plan, log = plan_server(recipe.values, rollout, os.environ, num_processes=None, trains_here=False), out / "vllm.log"
    server = plan.launch(make_run_dir(), log)
    return ServerHandle.of(server, lambda run_dir: plan.launch(run_dir, log), rollout.request_timeout)


def _environments(recipe: Recipe, opened: ExitStack) -> "Environments | None":
    """Those of the recipe, which `opened` closes."""
    from grpo_plugin.environments.loading import Environments

    if recipe.environments is None:
        return None
    environments = Environments.load(recipe.environments, recipe.folder)
    opened.callback(environments.close)
    return environments


def _load(
    recipe: Recipe, environments: "Environments | None", opened: ExitStack
) -> "tuple[Any, Any, list[HeldOutRows]]":
    """The tokenizer or processor, the model's configuration, and the sets with their rows and rewards.

    Args:
        opened: closes the rewards, also where loading fails half-way.
    """
    from axolotl.loaders import load_tokenizer
    from axolotl.loaders.utils import load_model_config
    from axolotl.utils.dict import DictDefault

    from grpo_plugin.prompts.recipe_prompts import load_recipe_prompts
    from grpo_plugin.scoring import load
    from grpo_plugin.scoring.held_out import load_own
    from grpo_plugin.trainer.validator import held_out_rows

    cfg = DictDefault(dict(recipe.values))
    for key in ("tokenizer_config", "base_model_config", "processor_config"):
        cfg[key] = cfg[key] or cfg.base_model
    config = load_model_config(cfg)
    cfg.is_multimodal = hasattr(config, "vision_config")
    own = load_own(recipe.held_out, recipe.rewards, recipe.folder)
    for rewards in own.values():
        opened.callback(rewards.close)
    of_environments = {reward.name: reward.function for reward in environments.rewards} if environments else {}
    scored = recipe.rewards or of_environments
    shared = None
    if scored and own.keys() != recipe.held_out.keys():
        shared = load(recipe.rewards, recipe.folder, of_environments)
    if shared is not None:
        opened.callback(shared.close)
    data, processor = load_recipe_prompts(recipe, cfg)
    sets = []
    for name, options in recipe.held_out.items():
        scorer, rows = own.get(name, shared), data.validation[name]
        assert scorer is not None
        scorer.check_columns(rows.column_names)
        sets.append(held_out_rows(name, list(rows), options, scorer))
    return processor or load_tokenizer(cfg), config, sets


def _show(evaluations: "Sequence[Evaluation]", out: Path, recipe: Recipe) -> None:
    import sys

    from grpo_plugin.console import held_out
    from grpo_plugin.console.examples import examples
    from grpo_plugin.console.final_report import set_sections
    from grpo_plugin.console.screen import Screen

    screen = Screen(sys.stdout)
    count = recipe.validation.show if recipe.validation else 0
    held_out.show(screen, evaluations, examples(out / "validation", count, evaluations[0].set))
    for title, lines in set_sections(evaluations):
        screen.section(title, lines)
    screen.section("Outputs", [str(out / "evaluations.jsonl"), str(out / "validation")])

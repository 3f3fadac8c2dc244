"""`axolotl grpo replay RUN --step N --algorithm NAME`: a change of algorithm, tried on the rollouts of a step."""

from pathlib import Path
from typing import Any

import click
import yaml

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.run_folder import recipe_of, run_folder
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.console.final_report import aligned
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.checkpoints import defect
from grpo_plugin.recipe.length_budget import longest_completion


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--step", required=True, type=click.IntRange(1), help="The first step of a rollout batch.")
@click.option(
    "--algorithm",
    "block",
    help="A name, or a block such as '{name: dapo, clip_high: 0.3}'; by default that of the run, with itself.",
)
@errors_exit_2
def replay(run: Path, step: int, block: str | None) -> None:
    """Put the recorded rollouts of a step through the run's algorithm and another one, and show what differs.

    Advantages and the loss at ratio 1 always; the gradient of the weights where the run has the checkpoint before that
    step and recorded its tokens (rollout.record_tokens).
    """
    from grpo_plugin.algorithms.settings import of_recipe
    from grpo_plugin.trainer.replay import differences
    from grpo_plugin.trainer.replay import replay as replayed

    folder = run_folder(run)
    recipe = recipe_of(folder)
    if recipe is None or recipe.rewards is None:
        raise RecipeError(f"{folder}: has no recipe of its run, which says what was trained; name another folder.")
    algorithms = [of_recipe(recipe.algorithm, recipe.trl), of_recipe(_other(block, recipe), recipe.trl)]
    for algorithm in algorithms:
        algorithm.check_names(recipe.folder)
    recorded = _recorded(folder, step, recipe)
    policy = _policy(folder, step, recipe, recorded, reference=any(each.uses_reference for each in algorithms))
    before, after = (replayed(recorded, algorithm, policy) for algorithm in algorithms)
    of = "the weights" if policy else "the log-probabilities, at ratio 1 and without KL"
    click.echo(f"{len(recorded.rollouts)} rollouts of step {step}; the gradient is that of {of}")
    header = ("", algorithms[0].config.name, algorithms[1].config.name)
    click.echo("\n".join(aligned([header, *differences(before, after)], "<>>")))


def _other(block: str | None, recipe: Recipe) -> AlgorithmConfig | None:
    if block is None:
        return recipe.algorithm
    values = yaml.safe_load(block)
    return AlgorithmConfig.parse("--algorithm", {"name": values} if isinstance(values, str) else values)


def _recorded(folder: Path, step: int, recipe: Recipe) -> Any:
    from grpo_plugin.scoring import load
    from grpo_plugin.trainer.recorded import read_step

    assert recipe.rewards is not None
    rewards = load(recipe.rewards, recipe.folder)
    names, weights = rewards.names, rewards.weights
    rewards.close()
    per_prompt = int(recipe.trl.get("num_generations") or 8)
    return read_step(folder, step, names, weights, per_prompt, longest_completion(recipe))


def _policy(folder: Path, step: int, recipe: Recipe, recorded: Any, *, reference: bool) -> Any:
    """The policy before `step`: of a checkpoint, or the base model before the first step; None where it is not there.

    A new adapter's first weights are random and not kept.
    """
    from grpo_plugin.trainer.recorded import has_tokens

    checkpoint = folder / f"checkpoint-{step - 1}"
    here = (step == 1 and not recipe.values.get("adapter")) or (checkpoint.is_dir() and defect(checkpoint) is None)
    if not here or not has_tokens(recorded) or (recipe.prompts and recipe.prompts.image_key):
        return None
    from accelerate import Accelerator

    from grpo_plugin.compat.packed_attention import install
    from grpo_plugin.trainer.export import from_pretrained, loaded_model
    from grpo_plugin.trainer.micro_batches import BatchSize
    from grpo_plugin.trainer.policy import Policy, causal

    base = str(recipe.values["base_model"])
    accelerator = Accelerator()
    model = from_pretrained(base) if step == 1 else loaded_model(checkpoint, base, merge=False, trainable=True)
    ref_model = from_pretrained(base).requires_grad_(False) if reference else None
    for each in (model, ref_model):
        if each is not None:
            install(causal(each.to(accelerator.device)))
    tokens = recipe.algorithm.tokens_per_micro_batch if recipe.algorithm else None
    return Policy(
        model,
        ref_model,
        accelerator,
        temperature=float(recipe.trl.get("temperature") or 1.0),
        batch_size=BatchSize(int(recipe.values.get("micro_batch_size") or 1), tokens),
    )

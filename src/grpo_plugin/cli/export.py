"""`axolotl grpo export CHECKPOINT --out DIR`: a checkpoint as one Hugging Face folder, proved, with a model card."""

from pathlib import Path

import click

from grpo_plugin.cli.checkpoints import shown_size
from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.quiet import silence_libraries
from grpo_plugin.cli.run_folder import is_checkpoint, model_folder, recipe_of, steps_done
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.console.model_card import ModelCard, installed_versions
from grpo_plugin.files import whole_folder
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.checkpoint_layout import size_of
from grpo_plugin.validation.evaluation_log import EvaluationLog

FORMS = {"model": "copied", "adapter": "merged", "fsdp": "put together", "deepspeed": "put together"}


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--base-model", help="What an adapter belongs to; by default as the checkpoint's recipe says.")
@click.option("--check/--no-check", default=True, help="Compare log-probabilities with the checkpoint's; loads both.")
@errors_exit_2
def export(checkpoint: Path, out: Path, base_model: str | None, check: bool) -> None:
    """Write the model of CHECKPOINT, or of a run, to the folder --out, as Transformers and vLLM load one.

    Shards of FSDP and DeepSpeed are put together, a LoRA adapter is merged into its base model. Shards may run code
    when they are read: export those of others only if you trust them.
    """
    click.echo(exported(model_folder(checkpoint), out, base_model, check=check))


def exported(
    folder: Path, out: Path, base_model: str | None = None, *, check: bool = True, recorded: bool = True
) -> str:
    """Export `folder` to `out`, which is there only once the export is whole and proved; returns a sentence about it.

    Args:
        check: compare its log-probabilities with the checkpoint's.
        recorded: and with what the run recorded, which takes minutes where the model is large.

    Raises:
        RecipeError, TrainingError: as `trainer.export`.
    """
    silence_libraries()
    from grpo_plugin.trainer import export as exporting

    recipe = recipe_of(folder)
    base = base_model or (str(recipe.values["base_model"]) if recipe else None)
    others = [folder.parent]
    exporting.check_new(out)
    with whole_folder(out) as made:
        layout = exporting.export(folder, made, base_model=base, others=others)
        if recipe is not None:
            text = _card(recipe, folder, out.name, merged=layout == "adapter")
            (made / "README.md").write_text(text, encoding="utf-8")
        sentence = f"{out}: {FORMS[layout]} from {folder}, {shown_size(size_of(made))}"
        if check:
            gap = exporting.check(folder, made, base, others)
            sentence += f"; log-probabilities as the checkpoint's to {gap:.1e} nats"
            sentence += _recorded_proof(recipe, folder, made) if recorded else ""
    return sentence


def _recorded_proof(recipe: Recipe | None, folder: Path, made: Path) -> str:
    """What the export shares with the run's record of the same weights; nothing where there is no such record.

    Raises:
        TrainingError: they differ.
    """
    if recipe is None or recipe.prompts is None or recipe.prompts.image_key or not is_checkpoint(folder):
        return ""
    from grpo_plugin.algorithms.settings import biased_sampling, value_or
    from grpo_plugin.trainer.export import from_pretrained
    from grpo_plugin.trainer.export_proof import check_recorded, limit_of, recorded_after

    rollout = recipe.rollout or RolloutConfig()
    recorded = recorded_after(folder.parent, steps_done(folder), ahead=rollout.lookahead > 0)
    if not recorded or biased_sampling(recipe.trl):
        return ""
    temperature = float(value_or(recipe.trl, "temperature", 1.0))
    gap = check_recorded(from_pretrained(made), recorded, temperature, limit_of(recipe, folder.parent))
    return f"; as the run recorded {len(recorded)} completions of these weights, to {gap.mean:.1e} nats per token"


def _card(recipe: Recipe, folder: Path, name: str, *, merged: bool) -> str:
    run = folder.parent if is_checkpoint(folder) else folder
    evaluations = EvaluationLog(run / "evaluations.jsonl").read()
    return ModelCard(recipe, name, steps_done(folder), evaluations, installed_versions(), merged=merged).text()

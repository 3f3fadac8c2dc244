"""`axolotl grpo compare BASE TRAINED --prompts RECIPE|FILE`: two models on the same prompts, with rewards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grpo_plugin.cli.exit_codes import errors_exit_2
from grpo_plugin.cli.quiet import silence_libraries
from grpo_plugin.cli.run_folder import SUFFIXES, model_folder, recipe_of
from grpo_plugin.cli.serving import of_recipe, whole
from grpo_plugin.config.prompts import VALIDATION
from grpo_plugin.config.validation import EvaluationOptions
from grpo_plugin.console.comparison_page import lines, page
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe, check, read
from grpo_plugin.rollout.client.http import Client
from grpo_plugin.rollout.client.responses import Completion
from grpo_plugin.rollout.client.sampling import Sampling
from grpo_plugin.validation.comparison import TOTAL, Answered, Comparison

if TYPE_CHECKING:
    from grpo_plugin.scoring import RewardSet
    from grpo_plugin.trainer.tokenization import PromptTokenizer

Row = dict[str, Any]


@click.command()
@click.argument("base")
@click.argument("trained")
@click.option("--prompts", required=True, type=click.Path(exists=True, path_type=Path), help="A recipe, or rows.")
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="Completions of each prompt.")
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Prompts at most.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="comparison.html", show_default=True)
@errors_exit_2
def compare(base: str, trained: str, prompts: Path, limit: int, out: Path, **options: Any) -> None:
    """Complete the same prompts with BASE and TRAINED (checkpoints, folders, or names of the hub), and score both.

    A recipe gives its held-out prompts, or its training prompts where it has none, and what scores them; of several
    sets the first. With a file of rows they are worded and scored as the recipe of TRAINED says. The models are served
    one after the other.
    """
    silence_libraries()
    recipe, source, held_out = _recipe(prompts, trained)
    models = [_served_name(name) for name in (base, trained)]
    task = Task.of(recipe, source, held_out, models[1], limit)
    sides = []
    for model in models:
        click.echo(f"{model}: {len(task.rows)} prompts × {options['samples']}", err=True)
        sides.append(task.answered(model, options["samples"], options["temperature"]))
    gold = [None if row.get("answer") is None else str(row["answer"]) for row in task.rows]
    found = Comparison([_text(row["prompt"]) for row in task.rows], gold, *sides)
    out.write_text(page(found, base, trained), encoding="utf-8")
    click.echo("\n".join([*lines(found), f"every prompt with both answers: {out}"]))


@dataclass(frozen=True)
class Task:
    """Prompts, as the trained model's tokenizer words them for both, and how they are scored."""

    recipe: Recipe
    held_out: EvaluationOptions
    rows: Sequence[Row]
    tokenizer: "PromptTokenizer"
    sampling: Sampling

    @classmethod
    def of(cls, recipe: Recipe, source: Any, held_out: EvaluationOptions, model: str, limit: int) -> "Task":
        """`held_out`: the options of the set that the rows are from."""
        from transformers import AutoConfig, AutoTokenizer

        from grpo_plugin.prompts.loading import load
        from grpo_plugin.trainer.served_model import sampling_of, tokenizer_of

        assert recipe.prompts is not None
        if recipe.prompts.image_key:
            raise RecipeError(
                "prompts.image_key: prompts with images cannot be compared yet; use validation: in a run."
            )
        tokenizer = AutoTokenizer.from_pretrained(model)
        block = recipe.prompts.model_copy(update={"train": source, "validation": None, "streaming": False})
        kwargs = recipe.trl.get("chat_template_kwargs")
        data = load(block, base_dir=recipe.folder, seed=0, tokenizer=tokenizer, template_kwargs=kwargs)
        rows = [dict(data.train[place]) for place in range(min(limit, len(data.train)))]
        sampling = sampling_of(recipe, tokenizer, AutoConfig.from_pretrained(model))
        return cls(recipe, held_out, rows, tokenizer_of(recipe, tokenizer), sampling)

    def answered(self, model: str, samples: int, temperature: float) -> Answered:
        """Serve `model`, complete every prompt `samples` times, and score the completions."""
        from grpo_plugin.trainer.generator import with_temperature

        sampling = with_temperature(self.sampling, temperature, self.held_out.top_p, self.held_out.max_tokens)
        prompts = self.tokenizer.prompts(self.rows)[0]
        groups = completed(self.recipe, model, prompts, samples, replace(sampling, seed=0))
        texts = [
            self.tokenizer.completions(row, ids, [each.token_ids for each in group])
            for row, ids, group in zip(self.rows, prompts, groups, strict=True)
        ]
        return Answered(texts, self._scores(groups, texts, samples))

    def _scores(
        self, groups: Sequence[Sequence[Completion]], texts: Sequence[Sequence[str]], samples: int
    ) -> dict[str, list[list[float | None]]]:
        from grpo_plugin.scoring.saved_completions import score_rows

        rewards = self._rewards()
        try:
            scored = score_rows(
                rewards,
                [
                    {**row, "completion": _as_completion(row["prompt"], text), "completion_ids": each.token_ids}
                    for row, group, of_row in zip(self.rows, groups, texts, strict=True)
                    for each, text in zip(group, of_row, strict=True)
                ],
            )
        finally:
            rewards.close()
        flat = {name: [row["scores"][name] for row in scored] for name in (TOTAL, *rewards.names)}
        return {
            name: [values[start : start + samples] for start in range(0, len(values), samples)]
            for name, values in flat.items()
        }

    def _rewards(self) -> "RewardSet":
        from grpo_plugin.scoring import load
        from grpo_plugin.scoring.held_out import load_own

        own = load_own({VALIDATION: self.held_out}, self.recipe.rewards, self.recipe.folder)
        if own:
            return own[VALIDATION]
        assert self.recipe.rewards is not None
        return load(self.recipe.rewards, self.recipe.folder)


def completed(
    recipe: Recipe, model: str, prompts: Sequence[list[int]], samples: int, sampling: Sampling
) -> list[list[Completion]]:
    """The completions of a vLLM server that runs for them alone."""
    with of_recipe(recipe, model).running() as server, Client(server.endpoint.address, server.endpoint.key) as client:
        return client.complete(prompts, n=samples, sampling=sampling, version=0, verify_version=False)


def _recipe(prompts: Path, trained: str) -> tuple[Recipe, Any, EvaluationOptions]:
    """The recipe that says how, the source of its rows, and the options of the held-out set they are.

    Raises:
        RecipeError: there is none, or it has no rewards.
    """
    if prompts.suffix in SUFFIXES:
        values = read(prompts)
        evaluates = not values.get("base_model")  # a suite, whose sets have what scores them
        recipe = check({**values, "base_model": _served_name(trained)} if evaluates else values, evaluates=evaluates)
        _refuse_episodes(recipe)
        if recipe.prompts is None:
            raise RecipeError(f"--prompts: {prompts} has no `prompts:` block; name another recipe, or a file of rows.")
        held_out = next(iter(recipe.prompts.validation or ()), None)
        asked = recipe.prompts if held_out is None else recipe.prompts.held_out(held_out)  # worded as the set is
        options = recipe.held_out.get(held_out or "") or EvaluationOptions()
        return recipe.replace(prompts=asked), asked.train, options
    found = recipe_of(model_folder(Path(trained))) if Path(trained).is_dir() else None
    if found is None or found.prompts is None:
        raise RecipeError(f"--prompts: {trained} has no recipe that says how to word and score rows; name a recipe.")
    _refuse_episodes(found)
    return found, [type(found.prompts.train[0])(source=str(prompts.absolute()))], EvaluationOptions()


def _refuse_episodes(recipe: Recipe) -> None:
    """Raise RecipeError where completions would be episodes."""
    if recipe.environments is not None:
        raise RecipeError(
            "environments: compare plays no episodes; run `axolotl grpo evaluate RECIPE --model MODEL`, which does, "
            "for each of the two models."
        )


def _served_name(name: str) -> str:
    """A folder that vLLM can load, or a name of the hub as it is."""
    return str(whole(model_folder(Path(name)))) if Path(name).is_dir() else name


def _as_completion(prompt: Any, text: str) -> Any:
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(str(message["content"]) for message in prompt)

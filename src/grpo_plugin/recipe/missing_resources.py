"""Files and folders that a recipe names and that this machine does not have."""

from collections.abc import Iterator
from pathlib import Path

from grpo_plugin.errors import DataError, GrpoPluginError, RecipeError
from grpo_plugin.recipe.deepspeed import read_deepspeed
from grpo_plugin.recipe.recipe import Recipe
from grpo_plugin.recipe.sources import check_sources


def missing_resources(recipe: Recipe) -> Iterator[GrpoPluginError]:
    """One error for each that is not here: the model's folder, DeepSpeed's file, data, vLLM's Python, environments.

    A recipe with a `quickstart:` block makes its model and its data itself.
    """
    if recipe.quickstart is None:
        yield from _model(str(recipe.values["base_model"]))
    try:
        read_deepspeed(recipe.values.get("deepspeed"))
    except RecipeError as error:
        yield error
    if recipe.prompts is not None and recipe.quickstart is None:
        try:
            check_sources(recipe.prompts, recipe.folder)
        except DataError as error:
            yield error
    yield from _interpreter(recipe)
    yield from _environments(recipe)


def _environments(recipe: Recipe) -> Iterator[RecipeError]:
    if recipe.environments is None:
        return
    factory = recipe.environments.factory or {}
    named = [factory] if isinstance(factory, str) else list(factory.values())
    for spec in (*named, *recipe.environments.tools):
        path, _, _ = spec.rpartition(":")
        if path.endswith(".py") and not any((root / path).is_file() for root in (recipe.folder, Path.cwd())):
            yield RecipeError(
                f"environments: no file {path!r} beside the recipe or in the working directory; check it."
            )


def _model(name: str) -> Iterator[RecipeError]:
    if name.startswith(("./", "../", "/", "~")) and not Path(name).expanduser().is_dir():
        yield RecipeError(f"base_model: no folder {name!r}; check the path, or name a Hugging Face model.")


def _interpreter(recipe: Recipe) -> Iterator[RecipeError]:
    python = recipe.rollout.python if recipe.rollout and recipe.serves else None
    if python and not Path(python).is_file():
        yield RecipeError(
            f"rollout.python: no interpreter at {python!r}; make the environment (in a clone: `make vllm`), or drop "
            "the key to use vLLM from this environment."
        )

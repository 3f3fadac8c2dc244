"""From a recipe's values to a checked `Recipe`: everything that can be checked before anything is loaded."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.axolotl_values import read_values
from grpo_plugin.config.block import Block
from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.errors import RecipeError, suggestion
from grpo_plugin.recipe.axolotl_keys import check_block_keys, check_misspelt_blocks
from grpo_plugin.recipe.key_effects import check_effects
from grpo_plugin.recipe.missing_resources import missing_resources
from grpo_plugin.recipe.plugin_names import our_plugins
from grpo_plugin.recipe.recipe import Recipe


def check(values: Mapping[str, Any], *, evaluates: bool = False) -> Recipe:
    """As `parse`, and check that the files and folders that the recipe names are on this machine.

    Raises:
        RecipeError, DataError: for the first mistake, in one sentence: field, value, what is known, remedy.
    """
    recipe = parse(values, evaluates=evaluates)
    for missing in missing_resources(recipe):
        raise missing
    return recipe


def parse(values: Mapping[str, Any], *, evaluates: bool = False) -> Recipe:
    """Read our blocks strictly, and check what Axolotl would accept without an error.

    Args:
        evaluates: the recipe is for `axolotl grpo evaluate`: held-out prompts and what scores them are enough.

    Raises:
        RecipeError: for the first mistake.
    """
    values = read_values(values)
    plugins = our_plugins(values)
    blocks = {name: _parse_block(name, plugins, values) for name in BLOCKS}
    check_misspelt_blocks(values)
    for block in ("trl", "vllm"):
        check_block_keys(block, values.get(block) or {})
    recipe = Recipe(values=values, **blocks)  # type: ignore[arg-type]
    _check_held_out(recipe, required=evaluates or (recipe.validation is not None and recipe.validation.only))
    if evaluates:
        if recipe.environments is not None:
            _check_episodes(recipe)
        return _with_rewards(recipe)
    _check_needs(recipe)
    check_effects(recipe)
    advantage = of_recipe(recipe.algorithm, recipe.trl).preset.advantage
    if values.get("rl") == "gdpo" and advantage != "gdpo":
        raise RecipeError(
            f"rl: 'gdpo' contradicts advantage {advantage!r}; set rl: grpo, or algorithm.advantage: gdpo."
        )
    return _with_rewards(recipe)


def _with_rewards(recipe: Recipe) -> Recipe:
    """The recipe with the rewards that TRL's keys name, where it has no block of ours."""
    if recipe.rewards is not None or not recipe.trl.get("reward_funcs"):
        return recipe
    return replace(recipe, rewards=_rewards_of_trl(recipe.trl))


def _parse_block(name: str, plugins: Collection[str], values: Mapping[str, Any]) -> Block | None:
    """One of our blocks; None without its plugin."""
    block = BLOCKS[name]
    if block.plugin not in plugins:
        if name in values:
            raise RecipeError(f"{name}: this block needs its plugin; add grpo_plugin.{block.plugin} to `plugins`.")
        return None
    if block.required and not values.get(name):
        raise RecipeError(f"{name}: missing, though grpo_plugin.{block.plugin} is in `plugins`; add the block.")
    return block.model.parse(name, values.get(name))


def _rewards_of_trl(trl: Mapping[str, Any]) -> RewardsConfig:
    """The `rewards:` block that TRL's keys mean, for a recipe without RewardPlugin.

    Raises:
        RecipeError: not as many weights as functions.
    """
    functions, weights = list(trl["reward_funcs"]), trl.get("reward_weights")
    if weights is not None and len(weights) != len(functions):
        raise RecipeError(
            f"trl.reward_weights: {len(weights)} weights for the {len(functions)} functions of trl.reward_funcs; "
            "give one for each."
        )
    pairs = zip(functions, weights or [1.0] * len(functions), strict=True)
    block = {"functions": [{"function": function, "weight": weight} for function, weight in pairs]}
    return RewardsConfig.parse("trl.reward_funcs", block)


def _check_held_out(recipe: Recipe, *, required: bool) -> None:
    """Refuse options of sets that there are not and, where nothing is trained, a recipe without what is evaluated.

    Raises:
        RecipeError: for the first mistake.
    """
    known = list((recipe.prompts.validation or {}) if recipe.prompts else ())
    for name in recipe.validation.sets if recipe.validation else ():
        if name not in known:
            raise RecipeError(f"validation.sets.{name}: no such set in prompts.validation; {suggestion(name, known)}")
    if not required:
        return
    if not recipe.held_out:
        raise RecipeError("prompts.validation: missing, so there is nothing to evaluate; name held-out prompts.")
    unscored = [name for name, options in recipe.held_out.items() if not options.reward]
    if unscored and recipe.rewards is None and not recipe.trl.get("reward_funcs") and not _may_reward(recipe):
        raise RecipeError(
            f"validation.sets.{unscored[0]}.reward: missing, and the recipe has no `rewards:` either; add one of them."
        )
    if not recipe.values.get("base_model"):
        raise RecipeError("base_model: missing; name a Hugging Face model or a folder with --model, or add the key.")


def _check_needs(recipe: Recipe) -> None:
    """Refuse a recipe without what every run needs: rl: grpo, a reward, a model, an end."""
    rl = recipe.values.get("rl") or "grpo"
    if rl not in ("grpo", "gdpo"):
        raise RecipeError(f"rl: got {rl!r}, but these plugins train with rl: grpo; change it or drop them.")
    if recipe.rewards is None and not recipe.trl.get("reward_funcs") and not _may_reward(recipe):
        raise RecipeError(
            "rewards: the recipe names no reward; add grpo_plugin.RewardPlugin to `plugins` and a block such as "
            "rewards: {functions: [{function: rewards.math.accuracy}]}."
        )
    if not recipe.values.get("base_model"):
        raise RecipeError("base_model: missing; name a Hugging Face model or a folder.")
    only = recipe.validation is not None and recipe.validation.only
    if recipe.environments is not None:
        _check_episodes(recipe)
    elif recipe.prompts is not None and recipe.prompts.prompt_key is None:
        raise RecipeError("prompts.prompt_key: null, and no environment makes the prompts; name the column.")
    if recipe.makes_prompts and not only:
        _check_made_prompts(recipe)
    elif recipe.prompts is not None and not recipe.prompts.train and not only:
        raise RecipeError("prompts.train: required and missing; add it to the 'prompts' block.")
    if recipe.prompts is not None and recipe.prompts.streaming and (recipe.values.get("max_steps") or 0) <= 0:
        raise RecipeError(
            "prompts.streaming: true reads rows without knowing how many there are, so that an epoch has no length; "
            "set max_steps, or streaming: false."
        )


def _may_reward(recipe: Recipe) -> bool:
    """Whether there is an environment, which may have a get_reward()."""
    return recipe.environments is not None and recipe.environments.factory is not None


def _check_episodes(recipe: Recipe) -> None:
    """Refuse what episodes cannot have.

    Raises:
        RecipeError: for the first mistake.
    """
    if recipe.rollout is not None and recipe.rollout.lookahead:
        raise RecipeError(
            "rollout.lookahead: 1 cannot generate episodes ahead; set it to 0, or remove `environments:`."
        )
    if recipe.prompts is not None and recipe.prompts.shows_images:
        raise RecipeError("prompts.image_key: episodes take no images in their prompts yet; remove it.")


def _check_made_prompts(recipe: Recipe) -> None:
    """Refuse a recipe without training data whose environment cannot make the prompts, or that has no end.

    Raises:
        RecipeError: for the first mistake.
    """
    assert recipe.environments is not None
    if not isinstance(recipe.environments.factory, str):
        raise RecipeError(
            "prompts.train: required and missing; without data one environment must make every prompt in its reset(), "
            "so name the data, or one environments.factory."
        )
    if (recipe.values.get("max_steps") or 0) <= 0:
        raise RecipeError(
            "max_steps: missing, and without prompts.train an epoch has no length; set the number of steps."
        )

"""A recipe: the YAML file, the command line's overrides, and our blocks in it, checked before anything is loaded."""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import grpo_plugin
from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.config.base import Block, unknown_key
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.errors import DataError, GrpoPluginError, RecipeError, nearest
from grpo_plugin.recipe.axolotl_values import read_deepspeed, read_values
from grpo_plugin.recipe.inheritance import with_base
from grpo_plugin.recipe.sources import check_sources

# plugin -> (its block, the block's model, whether the block must be there)
BLOCKS: dict[str, tuple[str, type[Block], bool]] = {
    "PromptPlugin": ("prompts", PromptsConfig, True),
    "RewardPlugin": ("rewards", RewardsConfig, True),
    "AlgorithmPlugin": ("algorithm", AlgorithmConfig, False),
    "RolloutPlugin": ("rollout", RolloutConfig, False),
    "ValidationPlugin": ("validation", ValidationConfig, False),
    "QuickstartPlugin": ("quickstart", QuickstartConfig, False),
}

# Axolotl's own blocks, which are no options of its command line.
AXOLOTL_BLOCKS = frozenset(
    {"dynamic_checkpoint", "ebft", "fp8_config", "fsdp_config", "peft", "qat", "quantization"}
    | {"selective_checkpointing", "special_tokens", "trl", "vllm"}
)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. A block is None when its plugin is not in `plugins:`."""

    values: Mapping[str, Any]
    prompts: PromptsConfig | None
    rewards: RewardsConfig | None
    algorithm: AlgorithmConfig | None
    rollout: RolloutConfig | None
    validation: ValidationConfig | None
    quickstart: QuickstartConfig | None

    @property
    def trl(self) -> Mapping[str, Any]:
        return self.values.get("trl") or {}

    @property
    def vllm(self) -> Mapping[str, Any]:
        return self.values.get("vllm") or {}

    @property
    def output_dir(self) -> Path:
        return Path(self.values.get("output_dir") or "./model-out")

    @property
    def folder(self) -> Path:
        """Where the recipe lies; relative paths in it may start here or in the working directory."""
        return Path(self.values.get("axolotl_config_path") or ".").parent

    @property
    def name(self) -> str:
        return Path(self.values.get("axolotl_config_path") or "recipe").stem

    @property
    def uses_vllm(self) -> bool:
        """Whether vLLM generates; it does where RolloutPlugin is named, unless the recipe says trl.use_vllm: false."""
        return self.rollout is not None and bool(self.trl.get("use_vllm", True))

    @property
    def serves(self) -> bool:
        """Whether this run starts a vLLM server of its own."""
        return self.uses_vllm and self.rollout is not None and not self.rollout.url


def read(path: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The YAML file at `path` on top of its base, with dotted `overrides` applied, unchecked.

    Raises:
        RecipeError: when it, or its base, is missing or no mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {str(path)!r}: cannot be read ({error.strerror}); check the path.") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {str(path)!r}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"recipe {str(path)!r}: expected keys and values, got {type(values).__name__}.")
    values = with_base(values, Path(path).parent)
    if is_ours(values):
        _check_keys(values)
    values["axolotl_config_path"] = str(path)
    for key, value in (overrides or {}).items():
        block, _, inner = key.partition(".")
        if inner:
            values[block] = {**mapping(block, values.get(block)), inner: value}
        else:
            values[key] = value
    return values


def mapping(block: str, values: Any) -> Mapping[str, Any]:
    """The values of a block that nobody has checked yet.

    Raises:
        RecipeError: something else than keys and values.
    """
    if values is not None and not isinstance(values, Mapping):
        raise RecipeError(f"{block}: expected keys and values, got {values!r}.")
    return values or {}


def is_ours(values: Mapping[str, Any]) -> bool:
    """Whether a recipe means this package: by a plugin's name, also a misspelt one, or by one of our blocks."""
    blocks = {block for block, _, _ in BLOCKS.values()}
    packages = {plugin.split(".")[0] for plugin in _plugins(values)}
    return bool(blocks & values.keys()) or any(nearest(package, ["grpo_plugin"]) for package in packages)


def _plugins(values: Mapping[str, Any]) -> list[str]:
    """The plugins named in values that nobody has checked yet."""
    plugins = values.get("plugins") or []
    return [str(plugin) for plugin in (plugins if isinstance(plugins, list | tuple) else [plugins])]


def check(values: Mapping[str, Any]) -> Recipe:
    """Read our blocks strictly, check what Axolotl would let pass in silence, and that the files named are here.

    Raises:
        RecipeError, DataError: for the first mistake, in one sentence: field, value, what is known, remedy.
    """
    recipe = parse(values)
    for absence in absences(recipe):
        raise absence
    return recipe


def parse(values: Mapping[str, Any]) -> Recipe:
    """Read our blocks strictly and check what Axolotl would let pass in silence.

    Raises:
        RecipeError: as `check`.
    """
    values = read_values(values)
    ours = [name for plugin in values.get("plugins") or [] if (name := _check_plugin(str(plugin)))]
    blocks = {block: _parse(plugin, ours, values) for plugin, (block, _, _) in BLOCKS.items()}
    _check_misspelt_blocks(values)
    for block in ("trl", "vllm"):
        _check_axolotl_block(block, values.get(block) or {})
    if (values.get("rl") or "grpo") not in ("grpo", "gdpo"):
        raise RecipeError(f"rl: got {values['rl']!r}, but these plugins train with rl: grpo; change it or drop them.")
    recipe = Recipe(values=values, **blocks)  # type: ignore[arg-type]
    if recipe.rewards is None and not recipe.trl.get("reward_funcs"):
        raise RecipeError(
            "rewards: the recipe names no reward; add grpo_plugin.RewardPlugin to `plugins` and a block such as "
            "rewards: {functions: [{function: rewards.math.accuracy}]}."
        )
    if not recipe.values.get("base_model"):
        raise RecipeError("base_model: missing; name a Hugging Face model or a folder.")
    of_recipe(recipe.algorithm, recipe.trl)
    _check_end(recipe)
    return recipe


def _check_plugin(plugin: str) -> str | None:
    """The class name if the plugin is one of ours; raise if it cannot be imported."""
    module, _, name = plugin.rpartition(".")
    if module == "grpo_plugin" and name in grpo_plugin.PLUGINS:
        return name
    known = [f"grpo_plugin.{ours}" for ours in grpo_plugin.PLUGINS]
    if module == "grpo_plugin" or not (_importable(module) or _importable(f"axolotl.integrations.{module}")):
        close = nearest(plugin, known)
        hint = f"did you mean {close!r}?" if close else f"this package brings {', '.join(known)}."
        raise RecipeError(f"plugins: {plugin!r} cannot be imported; {hint}")
    return None


def _importable(module: str) -> bool:
    try:
        return bool(module) and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _parse(plugin: str, ours: Iterable[str], values: Mapping[str, Any]) -> Block | None:
    block, model, required = BLOCKS[plugin]
    if plugin not in ours:
        if block in values:
            raise RecipeError(f"{block}: this block needs its plugin; add grpo_plugin.{plugin} to `plugins`.")
        return None
    if required and not values.get(block):
        raise RecipeError(f"{block}: missing, though grpo_plugin.{plugin} is in `plugins`; add the block.")
    return model.parse(block, values.get(block))


def _check_misspelt_blocks(values: Mapping[str, Any]) -> None:
    """Axolotl drops unknown top-level keys; a block of ours must not vanish because of a typo."""
    blocks = [block for block, _, _ in BLOCKS.values()]
    for key in values.keys() - set(blocks) - axolotl_keys(""):
        if nearest(key, blocks) and isinstance(values[key], Mapping):
            raise RecipeError(unknown_key("", key, blocks))


def _check_keys(values: Mapping[str, Any]) -> None:
    """A key that Axolotl would drop in silence, such as a misspelt `learning_rate`, is a mistake.

    Left alone: blocks and nulls, as YAML's anchors stand in some; and all keys where another plugin may know them.
    """
    if any(not plugin.startswith("grpo_plugin.") for plugin in _plugins(values)):
        return
    known = axolotl_keys("") | AXOLOTL_BLOCKS | {block for block, _, _ in BLOCKS.values()}
    for key, value in values.items():
        if key not in known and value is not None and not isinstance(value, Mapping):
            close = nearest(key, known, alike=0.8)
            raise RecipeError(
                f"{key}: unknown key; did you mean {close!r}?"
                if close
                else f"{key}: unknown key, which Axolotl would drop in silence; remove it."
            )


def _check_axolotl_block(block: str, values: Mapping[str, Any]) -> None:
    known = axolotl_keys(block)
    for key in values:
        if key not in known:
            raise RecipeError(unknown_key(block, str(key), sorted(known)))


@cache
def axolotl_keys(block: str) -> frozenset[str]:
    """The keys Axolotl's schema knows at the top level (""), or in the block called `block`."""
    from axolotl.cli.config_options import AXOLOTL_CONFIG_CLI_OPTIONS

    keys = set()
    for declarations, parameter, _, _ in AXOLOTL_CONFIG_CLI_OPTIONS:
        parent, _, child = (parameter or declarations[0].split("/")[0].removeprefix("--")).rpartition("__")
        if parent == block:
            keys.add(child.replace("-", "_"))
    return frozenset(keys)


def _check_end(recipe: Recipe) -> None:
    if recipe.prompts is not None and recipe.prompts.streaming and (recipe.values.get("max_steps") or 0) <= 0:
        raise RecipeError(
            "prompts.streaming: true reads rows without knowing how many there are, so that an epoch has no length; "
            "set max_steps, or streaming: false."
        )


def absences(recipe: Recipe) -> Iterator[GrpoPluginError]:
    """What the recipe names and this machine does not have."""
    base_model, made_here = str(recipe.values["base_model"]), recipe.quickstart is not None
    if not made_here and base_model.startswith(("./", "../", "/", "~")) and not Path(base_model).expanduser().is_dir():
        yield RecipeError(f"base_model: no folder {base_model!r}; check the path, or name a Hugging Face model.")
    try:
        read_deepspeed(recipe.values.get("deepspeed"))
    except RecipeError as error:
        yield error
    if recipe.prompts is not None and not made_here:
        try:
            check_sources(recipe.prompts, recipe.folder)
        except DataError as error:
            yield error
    if recipe.serves and recipe.rollout and recipe.rollout.python and not Path(recipe.rollout.python).is_file():
        yield RecipeError(
            f"rollout.python: no interpreter at {recipe.rollout.python!r}; make the environment (in a clone: "
            "`make vllm`), or drop the key to use vLLM from this environment."
        )

"""The names of Axolotl's keys, and of keys that Axolotl would drop without an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from grpo_plugin.config.axolotl_values import TrlOptions
from grpo_plugin.config.block import unknown_key
from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.errors import RecipeError, nearest, suggestion
from grpo_plugin.recipe.plugin_names import has_foreign_plugins

# Axolotl's blocks that are not options of its command line.
AXOLOTL_BLOCKS = frozenset(
    {"dynamic_checkpoint", "ebft", "fp8_config", "fsdp_config", "peft", "qat", "quantization"}
    | {"selective_checkpointing", "special_tokens", "trl", "vllm"}
)

TRL_OPTIONS = frozenset(TrlOptions.model_fields)
"""Keys of `trl:` that TRL has and Axolotl lacks."""


@cache
def axolotl_keys(block: str) -> frozenset[str]:
    """The keys that Axolotl's schema has at the top level (""), or in the block called `block`."""
    from axolotl.cli.config_options import AXOLOTL_CONFIG_CLI_OPTIONS

    keys = set()
    for declarations, parameter, _, _ in AXOLOTL_CONFIG_CLI_OPTIONS:
        parent, _, child = (parameter or declarations[0].split("/")[0].removeprefix("--")).rpartition("__")
        if parent == block:
            keys.add(child.replace("-", "_"))
    return frozenset(keys)


def check_top_level_keys(values: Mapping[str, Any]) -> None:
    """Refuse a key that Axolotl would drop without an error, such as a misspelt `learning_rate`.

    Not checked: mappings and nulls, because recipes may define YAML anchors in them; and all keys where a plugin of
    another package may know them.

    Raises:
        RecipeError: for the first such key.
    """
    if has_foreign_plugins(values):
        return
    known = axolotl_keys("") | AXOLOTL_BLOCKS | BLOCKS.keys()
    for key, value in values.items():
        if key not in known and value is not None and not isinstance(value, Mapping):
            hint = suggestion(key, known, "remove it, as Axolotl would drop it without an error.", alike=0.8)
            raise RecipeError(f"{key}: unknown key; {hint}")


def check_misspelt_blocks(values: Mapping[str, Any]) -> None:
    """Refuse a mapping whose name is close to one of our blocks: Axolotl would drop it without an error.

    Raises:
        RecipeError: for the first such block.
    """
    for key in values.keys() - BLOCKS.keys() - axolotl_keys(""):
        if nearest(key, BLOCKS) and isinstance(values[key], Mapping):
            raise RecipeError(unknown_key("", key, BLOCKS))


def check_block_keys(block: str, values: Mapping[str, Any]) -> None:
    """Refuse a key that neither Axolotl nor this package has in the block `trl` or `vllm`.

    Raises:
        RecipeError: for the first such key.
    """
    known = axolotl_keys(block) | (TRL_OPTIONS if block == "trl" else frozenset())
    for key in values:
        if key not in known:
            raise RecipeError(unknown_key(block, str(key), sorted(known)))

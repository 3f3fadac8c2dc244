"""`axolotl train RECIPE --validation.every=5`: single keys of our blocks from the command line.

Axolotl's own overrides are options of its command, which knows none for the blocks of plugins. The launcher takes these
off the command line and keeps them in the environment; each training process lays them over the recipe when its first
plugin is registered. A value is YAML, so that `--validation.best='{metric: accuracy_greedy}'` is a mapping.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from grpo_plugin.config.blocks import BLOCKS
from grpo_plugin.errors import RecipeError

OVERRIDES = "GRPO_OVERRIDES"  # the environment variable: dotted keys and their values, as JSON


def option_names() -> dict[str, str]:
    """Option, with hyphens and with underscores → dotted key."""
    keys = [f"{name}.{field}" for name, block in BLOCKS.items() for field in block.model.model_fields]
    return {f"--{spelt}": key for key in keys for spelt in (key, key.replace("_", "-"))}


def flag_names() -> set[str]:
    """The options among them whose value is true or false, and may be left out for true."""
    keys = {
        f"{name}.{key}"
        for name, block in BLOCKS.items()
        for key, field in block.model.model_fields.items()
        if field.annotation is bool
    }
    return {option for option, key in option_names().items() if key in keys}


def keep(overrides: Mapping[str, Any]) -> None:
    """Leave those of our blocks to the processes that this one starts."""
    own = {key: value for key, value in overrides.items() if key.partition(".")[0] in BLOCKS}
    if own:
        os.environ[OVERRIDES] = json.dumps(own, default=str)
    else:
        os.environ.pop(OVERRIDES, None)


def apply(cfg: Any) -> None:
    """Lay what `keep` left over Axolotl's raw configuration, in place; idempotent."""
    given: dict[str, Any] = json.loads(os.environ.get(OVERRIDES, "{}"))
    values = overridden(cfg.to_dict(), given)
    for block in {key.partition(".")[0] for key in given}:
        # `cfg.update` would merge a mapping with the recipe's; the launcher has checked one in place of the other.
        cfg[block] = type(cfg)(values[block])


def overridden(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The values with keys of their blocks replaced.

    Args:
        overrides: by key; that of a block's key is dotted.

    Raises:
        RecipeError: what should be a block is something else.
    """
    found = dict(values)
    for key, value in overrides.items():
        block, _, inner = key.partition(".")
        found[block] = {**mapping(block, found.get(block)), inner: value} if inner else value
    return found


def mapping(block: str, values: Any) -> Mapping[str, Any]:
    """The values of a block that nothing has checked yet; empty without the block.

    Raises:
        RecipeError: something other than keys and values.
    """
    if values is not None and not isinstance(values, Mapping):
        raise RecipeError(f"{block}: expected keys and values, got {values!r}.")
    return values or {}

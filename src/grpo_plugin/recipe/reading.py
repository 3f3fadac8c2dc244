"""A recipe file with its base and the command line's overrides, as plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.recipe.axolotl_keys import check_top_level_keys
from grpo_plugin.recipe.inheritance import with_base
from grpo_plugin.recipe.overrides import overridden
from grpo_plugin.recipe.plugin_names import is_ours
from grpo_plugin.recipe.yaml_file import read_yaml_mapping


def read(path: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The YAML file at `path` on top of its base, with dotted `overrides` applied; its values are not checked yet.

    Raises:
        RecipeError: the file or its base cannot be read, or has a key that Axolotl would drop.
    """
    values = read_yaml_mapping(Path(path), "recipe")
    values = with_base(values, Path(path).parent)
    if is_ours(values):
        check_top_level_keys(values)
    values["axolotl_config_path"] = str(path)
    return overridden(values, overrides or {})

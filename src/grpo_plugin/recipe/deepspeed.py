"""DeepSpeed's configuration, as it stands in the recipe or in the file that the recipe names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.config.axolotl_values import read_values
from grpo_plugin.errors import RecipeError


def read_deepspeed(config: Any) -> dict[str, Any]:
    """The configuration; empty without one.

    Args:
        config: the recipe's `deepspeed:`, a path or keys and values.

    Raises:
        RecipeError: there is no such file, or it does not hold DeepSpeed's keys as JSON.
    """
    if not config or isinstance(config, Mapping):
        return dict(config or {})
    if not Path(config).is_file():
        raise RecipeError(f"deepspeed: no file {config!r}; `axolotl fetch deepspeed_configs` brings the usual ones.")
    try:
        values = json.loads(Path(config).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"deepspeed: {config!r} is not JSON ({error}); correct the file.") from None
    if not isinstance(values, Mapping):
        raise RecipeError(f"deepspeed: {config!r} holds no keys and values, but {values!r}; correct the file.")
    return dict(read_values({"deepspeed": values})["deepspeed"])

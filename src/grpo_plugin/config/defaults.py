"""A default for what is absent or null, and for nothing else."""

from collections.abc import Mapping
from typing import Any


def value_or(values: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value of a key, or the default where the key is absent or null: 0, false and "" are values.

    `values.get(key) or default` would take the default for them, too.
    """
    value = values.get(key)
    return default if value is None else value

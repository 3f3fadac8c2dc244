"""Recipes side by side: as YAML, and the keys in which runs differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml


def as_yaml(recipe: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True) if recipe else ""


def differences(recipes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """(path of a key, its value in each recipe) of every key in which they are not the same; "" where it is absent."""
    flat = [dict(_flat(recipe)) for recipe in recipes]
    paths = dict.fromkeys(path for one in flat for path in one)
    rows = [(path, ["" if path not in one else str(one[path]) for one in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _flat(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}", inner

"""EasyR1's file and command line merged over its defaults, with keys of earlier versions renamed."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from grpo_plugin.convert.easyr1.flat_values import Overridden, Source, flatten
from grpo_plugin.convert.easyr1.known_keys import DEFAULTS, OF_KL_LOSS, OPEN, RENAMED
from grpo_plugin.convert.easyr1.value_types import KNOWN, read_value
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.yaml_file import read_yaml_mapping, yaml_mistake

_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def read_file(path: Path) -> dict[str, Any]:
    """EasyR1's configuration file.

    Raises:
        RecipeError: a file that cannot be read, or holds no sections.
    """
    return read_yaml_mapping(path, "configuration", f"EasyR1's sections ({', '.join(DEFAULTS)})")


def read_source(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Source:
    """File and command line over EasyR1's defaults.

    Raises:
        RecipeError: a value that its key cannot have, an override that cannot be read.
    """
    leaves, hidden = _leaves(values, overrides)
    winners = _winners(leaves)
    overridden = [
        Overridden(name, leaves[name], winners[key]) for name in leaves for key in _now(name) if winners[key] != name
    ]
    typed = {key: _typed(key, name, leaves[name]) for key, name in winners.items()}
    return Source({**KNOWN, **typed}, winners, (*hidden, *overridden))


def _leaves(values: Mapping[str, Any], overrides: Iterable[str]) -> tuple[dict[str, Any], list[Overridden]]:
    """Every leaf by its dotted key as written, with its last value; and those that a later override removed."""
    leaves: dict[str, Any] = {}
    hidden: dict[str, Overridden] = {}
    for section in (values, *map(_override, overrides)):
        for key, value in flatten(section):
            for old in [old for old in leaves if value != {} and _overlap(old, key)]:
                hidden[old] = Overridden(old, leaves.pop(old), key)
            leaves[key] = value
    return leaves, [one for key, one in hidden.items() if key not in leaves]


def _overlap(one: str, other: str) -> bool:
    return one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _override(word: str) -> dict[str, Any]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise RecipeError(f"{word!r}: expected an override such as worker.rollout.n=8.")
    try:
        return {} if key == "config" else {key: yaml.safe_load(text)}
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{key}: {text!r} is not valid YAML: {yaml_mistake(error)}.") from None


def _winners(leaves: Mapping[str, Any]) -> dict[str, str]:
    """For each key's current name, the spelling of it that is used."""
    winners: dict[str, str] = {}
    for name in sorted(leaves, key=lambda name: _rank(name, leaves)):
        for key in _now(name):
            winners.setdefault(key, name)
    return winners


def _rank(name: str, leaves: Mapping[str, Any]) -> tuple[bool, int]:
    """A sort key, best first: a value before a null, then the newest name; with a KL in the loss, its keys."""
    empty = leaves[name] is None
    if name in OF_KL_LOSS:
        in_loss = [value for key, value in leaves.items() if key.endswith(".use_kl_loss")]
        return empty, 0 if in_loss and in_loss[-1] else 2
    return empty, 2 if name in RENAMED else 1


def _now(name: str) -> tuple[str, ...]:
    """The names that a key has today."""
    if name in RENAMED:
        return RENAMED[name]
    for old, new in RENAMED.items():
        if name.startswith(f"{old}.") and new[0] in OPEN:
            return (f"{new[0]}{name.removeprefix(old)}",)
    return (name,)


def _typed(key: str, name: str, value: Any) -> Any:
    if key in KNOWN:
        return read_value(key, name, value)
    if value is not None and value != {} and any(known.startswith(f"{key}.") for known in KNOWN):
        raise RecipeError(f"{name}: expected keys and values, got {value!r}.")
    return float(value) if isinstance(value, str) and _FLOAT.fullmatch(value) else value

"""The words after `axolotl`: which is the recipe, which are options, which are overrides. Imports nothing heavy."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUFFIXES = (".yaml", ".yml")

# Options of `axolotl train` itself that take a value; every other one with a value is an override or a launcher's.
OWN_OPTIONS = {"--launcher": "launcher", "--cloud": "cloud", "--sweep": "sweep"}
LAUNCHER_OPTIONS = {"num_processes": "num_processes", "machine_rank": "machine_rank", "num_machines": "num_machines"}


def config_first(args: list[str], with_value: Collection[str]) -> list[str]:
    """Move the config to the front, where stock Axolotl wants it; unchanged if none is recognised.

    Args:
        args: the words after the command's name.
        with_value: the command's own options that take the next word as their value.
    """
    index = config_index(args, with_value)
    if index is None:
        return args
    return [args[index], *args[:index], *args[index + 1 :]]


def config_index(args: list[str], with_value: Collection[str]) -> int | None:
    """Where the config stands: the first YAML file, URL or folder that is not an option's value."""
    existing = None
    for index, word in _positionals(args, with_value):
        if word.endswith(SUFFIXES) or word.startswith("https://"):
            return index
        if existing is None and Path(word).is_dir():
            existing = index
    return existing


def _positionals(args: list[str], with_value: Collection[str]) -> Iterator[tuple[int, str]]:
    skip = False
    for index, word in enumerate(args):
        if word == "--":
            return
        if skip:
            skip = False
        elif word in with_value:
            skip = True
        elif not word.startswith("-"):
            yield index, word


@dataclass
class TrainArguments:
    """What `axolotl train …` was asked to do, as far as this package needs to know before Axolotl is imported."""

    recipe: str
    launcher: str = "accelerate"
    cloud: str | None = None
    sweep: str | None = None
    num_processes: int | None = None
    num_machines: int = 1
    machine_rank: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)


def read_train(args: list[str]) -> TrainArguments | None:
    """Read the words after `axolotl`; None unless they are a `train` with a recipe."""
    if not args or args[0] != "train":
        return None
    overrides = override_names()
    words = args[1:]
    index = config_index(words, {*OWN_OPTIONS, *(name for name in overrides)})
    if index is None:
        return None
    found = TrainArguments(recipe=words[index])
    for name, value in _options(words[:index] + words[index + 1 :]):
        _take(found, name, value, overrides)
    return found


def override_names() -> dict[str, str]:
    """Axolotl's command-line overrides: option name to dotted recipe key (`--trl.beta` to `trl.beta`)."""
    from axolotl.cli.config_options import AXOLOTL_CONFIG_CLI_OPTIONS

    names = {}
    for declarations, parameter, _, _ in AXOLOTL_CONFIG_CLI_OPTIONS:
        for option in declarations[0].split("/"):
            key = parameter.replace("__", ".") if parameter else option.removeprefix("--").replace("-", "_")
            names[option] = key
    return names


def _options(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """(name, value) of every option; the value is None for a flag."""
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("--") or word == "--":
            continue
        name, equals, value = word.partition("=")
        if equals:
            yield name, value
        elif position < len(words) and not words[position].startswith("-"):
            yield name, words[position]
            position += 1
        else:
            yield name, None


def _take(found: TrainArguments, name: str, value: str | None, overrides: dict[str, str]) -> None:
    if name in OWN_OPTIONS:
        setattr(found, OWN_OPTIONS[name], value)
    elif (launcher_key := name.removeprefix("--").replace("-", "_")) in LAUNCHER_OPTIONS:
        setattr(found, LAUNCHER_OPTIONS[launcher_key], int(value) if value and value.isdigit() else None)
    elif name in overrides:
        found.overrides[overrides[name]] = _typed(name, value)


def _typed(name: str, value: str | None) -> Any:
    import yaml

    if value is None:
        return not name.startswith("--no-")
    return yaml.safe_load(value)

"""The arguments after `axolotl`: which one is the recipe, and which are options or overrides. Imports nothing heavy."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo_plugin.launcher.options import (
    SUFFIXES,
    is_value,
    launcher_options,
    override_names,
    own_overrides,
    pairs,
    train_options,
    unknown,
)

# Options of `axolotl train` itself that take a value; every other one with a value is an override or a launcher's.
OWN_OPTIONS = {"--launcher": "launcher", "--cloud": "cloud", "--sweep": "sweep"}
DRY_RUN = "--dry-run"  # ours, with --cloud
LAUNCHER_NUMBERS = ("num_processes", "num_machines", "machine_rank")
LAUNCHER_WORDS = ("main_process_ip", "main_process_port", "config_file")


def config_first(args: list[str], with_value: Collection[str]) -> list[str]:
    """The arguments with the config in front, where stock Axolotl expects it; unchanged if there is none.

    Args:
        args: those after the command's name.
        with_value: the command's own options that take the next argument as their value.
    """
    index = config_index(args, with_value)
    if index is None:
        return args
    return [args[index], *args[:index], *args[index + 1 :]]


def without_own(words: list[str]) -> list[str]:
    """The arguments without the overrides of our blocks, which Axolotl would give to the launcher."""
    own, found, position = own_overrides(), [], 0
    end = words.index("--") if "--" in words else len(words)
    while position < len(words):
        name, equals, _ = words[position].partition("=")
        if position >= end or name not in own:
            found.append(words[position])
        elif not equals and position + 1 < end and is_value(words[position + 1], name):
            position += 1
        position += 1
    return found


def config_index(args: list[str], with_value: Collection[str]) -> int | None:
    """The index of the config: the first YAML file, URL or folder that is not an option's value."""
    existing = None
    for index, word in _positionals(args, with_value):
        if word.endswith(SUFFIXES) or word.startswith("https://"):
            return index
        if existing is None and Path(word).is_dir():
            existing = index
    return existing


def _positionals(args: list[str], with_value: Collection[str]) -> Iterator[tuple[int, str]]:
    valued = None  # the option whose value comes next
    for index, word in enumerate(args):
        if word == "--":
            return
        option, valued = valued, word if word in with_value else None
        if option is not None and is_value(word, option):
            valued = None
        elif not word.startswith("-"):
            yield index, word


@dataclass
class TrainArguments:
    """The arguments of `axolotl train …` that this package needs before Axolotl is imported.

    Attributes:
        overrides: values for recipe keys, by dotted key.
        passed: the arguments that go on to another machine with `--cloud`, the recipe left out.
        mistake: a sentence about the first option that is unknown or not a number, to be shown if the recipe is ours.
    """

    recipe: str
    launcher: str = "accelerate"
    cloud: str | None = None
    sweep: str | None = None
    num_processes: int | None = None
    num_machines: int = 1
    machine_rank: int | None = None
    main_process_ip: str | None = None
    main_process_port: str | None = None
    config_file: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    passed: list[str] = field(default_factory=list)
    mistake: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether this machine serves vLLM: it is the only one, or the first of several."""
        return not self.machine_rank


def read_train(args: list[str]) -> TrainArguments | None:
    """Read the arguments after `axolotl`; None unless they are a `train` with a recipe."""
    if not args or args[0] != "train":
        return None
    overrides = override_names()
    words = args[1:]
    index = config_index(words, {*OWN_OPTIONS, *(name for name in overrides)})
    if index is None:
        return None
    others = words[:index] + words[index + 1 :]
    found = TrainArguments(recipe=words[index], passed=list(_without_cloud(others)))
    ours, launchers = _separated(others)
    for name, value in pairs(ours):
        _take(found, name, value, overrides)
    for name, value in pairs([*ours, *launchers]):
        _take_launchers(found, name, value)
    known = {*OWN_OPTIONS, *overrides, *train_options(), *launcher_options(found.launcher)}
    if found.cloud:
        known.add(DRY_RUN)
    found.mistake = unknown(ours, known, "`axolotl train --help`") or found.mistake
    return found


def _separated(words: list[str]) -> tuple[list[str], list[str]]:
    """The arguments before `--`, and those after it, which only the launcher reads."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _without_cloud(words: list[str]) -> Iterator[str]:
    """The arguments without `--cloud FILE` and `--dry-run`, which are for this machine alone."""
    end = words.index("--") if "--" in words else len(words)
    for position, word in enumerate(words):
        is_value = position > 0 and words[position - 1] == "--cloud"
        if position > end or not (is_value or word in ("--cloud", DRY_RUN) or word.startswith("--cloud=")):
            yield word


def _take(found: TrainArguments, name: str, value: str | None, overrides: dict[str, str]) -> None:
    if name in OWN_OPTIONS:
        setattr(found, OWN_OPTIONS[name], value)
    elif name == DRY_RUN:
        found.dry_run = True
    elif name in overrides:
        found.overrides[overrides[name]] = _typed(name, value)


def _take_launchers(found: TrainArguments, name: str, value: str | None) -> None:
    key = name.removeprefix("--").replace("-", "_")
    if key in LAUNCHER_WORDS:
        setattr(found, key, value)
    elif key in LAUNCHER_NUMBERS and value and value.isdigit():
        setattr(found, key, int(value))
    elif key in LAUNCHER_NUMBERS and name.startswith("--"):
        found.mistake = found.mistake or f"{name}: expected a whole number, got {value!r}."


def _typed(name: str, value: str | None) -> Any:
    import yaml

    if value is None:
        return not name.startswith("--no-")
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value

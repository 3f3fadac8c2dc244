"""The options that `axolotl train` and the launchers know, so that a misspelt one is an error; both accept any.

Imports nothing heavy.
"""

import dataclasses
import importlib.util
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from grpo_plugin.errors import suggestion

SUFFIXES = (".yaml", ".yml")  # of recipes

# The file of each launcher that names its options; it is read as text, because importing it would load torch.
_SOURCES = {"accelerate": ("accelerate", "commands/launch.py"), "torchrun": ("torch", "distributed/run.py")}
_NEGATIVE = re.compile(r"-[\d.]")


def pairs(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """(name, value) of every option; the value is None for a flag, and for a word that belongs to no option."""
    position = 0
    while position < len(words):
        name, equals, value = words[position].partition("=")
        position += 1
        if not name.startswith("--") or equals:
            yield name, value if equals else None
        elif position < len(words) and is_value(words[position], name):
            yield name, words[position]
            position += 1
        else:
            yield name, None


def is_value(word: str, option: str) -> bool:
    """Whether a word behind an option is its value: no option, and no recipe behind one that is true or false."""
    if word.endswith(SUFFIXES) and option in own_flags():
        return False
    return not word.startswith("-") or bool(_NEGATIVE.match(word))


def unknown(words: list[str], known: Collection[str], listed: str) -> str | None:
    """The error sentence about the first argument that is not an option in `known`; None if all are.

    Args:
        listed: the command that lists the options, named where no known one is spelt alike.
    """
    for name, _ in pairs(words):
        if name in known:
            continue
        if not name.startswith("--"):
            return f"{name!r}: neither an option nor an option's value; remove it."
        return f"{name}: unknown option; {suggestion(name, known, f'known ones are listed by {listed}.')}"
    return None


def override_names() -> dict[str, str]:
    """Overrides of Axolotl's keys and of our blocks: option name to dotted recipe key (`--trl.beta` to `trl.beta`)."""
    from axolotl.cli.config_options import AXOLOTL_CONFIG_CLI_OPTIONS

    names = {}
    for declarations, parameter, _, _ in AXOLOTL_CONFIG_CLI_OPTIONS:
        for option in declarations[0].split("/"):
            key = parameter.replace("__", ".") if parameter else option.removeprefix("--").replace("-", "_")
            names[option] = key
    return names | own_overrides()


def own_overrides() -> dict[str, str]:
    """Those of our blocks, of which Axolotl knows nothing."""
    from grpo_plugin.recipe.overrides import option_names

    return option_names()


def own_flags() -> set[str]:
    """Those of our blocks that are true or false."""
    from grpo_plugin.recipe.overrides import flag_names

    return flag_names()


def train_options() -> set[str]:
    """Options of `axolotl train` beside its overrides and `--launcher`, `--cloud`, `--sweep`."""
    from axolotl.cli.args import TrainerCliArgs

    names = [field.name.replace("_", "-") for field in dataclasses.fields(TrainerCliArgs)]
    return {"--help", *(f"--{prefix}{name}" for name in names for prefix in ("", "no-"))}


def launcher_options(launcher: str) -> set[str]:
    """Options of accelerate or torchrun, with hyphens and with underscores; none of a launcher that takes none."""
    if launcher not in _SOURCES:
        return set()
    package, file = _SOURCES[launcher]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return set()
    text = (Path(found.origin).parent / file).read_text(encoding="utf-8")
    names = set(re.findall(r'"(--[a-z0-9_-]+)"', text))
    return names | {f"--{name[2:].replace('_', '-')}" for name in names}

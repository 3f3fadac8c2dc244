"""The files of this machine that a recipe needs on another one: itself, its bases, and what its values name.

They keep their place below the working directory, so that a path in the recipe means there what it means here. Never
among them: outputs, environments, caches, hidden files.
"""

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.inheritance import base_files
from grpo_plugin.recipe.sources import resolve

PACKAGE = Path(__file__).parents[1]
BESIDE = ("rewards", "environments")  # packages that come with this one
_STAYS = frozenset({"__pycache__", "outputs", "node_modules", "venv", "site-packages"})
_MODEL_FILES = ("config.json", "adapter_config.json")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
# Keys whose paths are written by a run, not read.
_WRITTEN = frozenset({"output_dir", "dataset_prepared_path", "axolotl_config_path", "logging_dir"})


def stays(path: Path) -> bool:
    """Whether a path, relative to the folder that travels, is of a kind that never does."""
    return any(part in _STAYS or part.startswith(".") or part.endswith(".egg-info") for part in path.parts)


@dataclass(frozen=True)
class Part:
    """A file or folder here, and its path below the folder in which the run works there."""

    local: Path
    path: str

    def files(self) -> list[Path]:
        """The files that travel, relative to `local`; `.` for a file."""
        if self.local.is_file():
            return [Path()]
        inside = (path.relative_to(self.local) for path in sorted(self.local.rglob("*")) if path.is_file())
        return [path for path in inside if not stays(path)]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum((self.local / path).stat().st_size for path in self.files())


def needed(recipe: Recipe, more: Iterable[str] = ()) -> list[Part]:
    """What the recipe needs, without what lies inside a folder that travels anyway.

    Args:
        more: files and folders to add, relative to the working directory.

    Raises:
        RecipeError: a file lies outside of the working directory, or one of `more` is not there.
    """
    path = Path(recipe.values["axolotl_config_path"])
    found = [path, *base_files(path), *_more(more), *_named(recipe)]
    whole = {_absolute(file) for file in found}
    return [_part(file) for file in sorted(whole) if not whole & set(file.parents)]


def package_parts(recipe: Recipe) -> list[Part]:
    """This package, and of `rewards` and `environments` what the recipe names and the working directory has none of.

    A quickstart's tasks name theirs themselves.
    """
    named = {text.partition(".")[0] for _, text in _texts(recipe.values) if _DOTTED.fullmatch(text)}
    if recipe.quickstart is not None:
        named |= {*BESIDE}
    parts = [Part(PACKAGE, PACKAGE.name)]
    for name in BESIDE:
        if name in named and not any(_module(root, name) for root in _roots(recipe)):
            found = importlib.util.find_spec(name)
            if found is not None and found.submodule_search_locations:
                parts.append(Part(Path(next(iter(found.submodule_search_locations))), name))
    return parts


def _absolute(path: Path) -> Path:
    """Without `..`, and with symbolic links as they are: what they point to may lie elsewhere."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _part(file: Path) -> Part:
    here = Path.cwd()
    if not file.is_relative_to(here) or file == here:
        raise RecipeError(
            f"{str(file)!r}: outside of the working directory, of which alone files travel; start the command in a "
            "folder that holds it, and name it by a relative path."
        )
    return Part(file, file.relative_to(here).as_posix())


def _more(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        if not Path(name).exists():
            raise RecipeError(f"files: {name!r} is not in {Path.cwd()}; check the path.")
        yield Path(name)


def _roots(recipe: Recipe) -> list[Path]:
    """Where relative paths of a recipe are looked up."""
    return list(dict.fromkeys([_absolute(recipe.folder), Path.cwd()]))


def _named(recipe: Recipe) -> Iterator[Path]:
    """The files and folders that values name, wherever in the recipe; the interpreter of vLLM is each machine's own."""
    interpreter = recipe.rollout.python if recipe.rollout else None
    for key, text in _texts(recipe.values):
        if key in _WRITTEN or text == interpreter or len(text) > 1024 or "\n" in text or _is_made_there(recipe, text):
            continue
        for root in _roots(recipe):
            if found := list(_at(root, text)):
                yield from _absolute_refused(key, text, found)
                break
    if recipe.prompts is not None and recipe.quickstart is None:
        for field, prompts in recipe.prompts.fields():
            for source in resolve(field, prompts.train, recipe.folder):
                yield from _absolute_refused(field, source.spec, source.files)


def _is_made_there(recipe: Recipe, text: str) -> bool:
    """Whether a path is one of the quickstart's, which makes its model and data where it runs."""
    return recipe.quickstart is not None and text.startswith(str(recipe.values["base_model"]))


def _absolute_refused(key: str, text: str, found: Iterable[Path]) -> Iterator[Path]:
    if Path(text).expanduser().is_absolute():
        raise RecipeError(
            f"{key}: {text!r} is a path of this machine alone; name it relative to the working directory, or put the "
            "files on the hub."
        )
    yield from found


def _at(root: Path, text: str) -> Iterator[Path]:
    """What `text` names in `root`: a file, a folder with a model, `file.py:name`, or a module by its dotted path."""
    if _DOTTED.fullmatch(text) and (module := _module(root, text.partition(".")[0])):
        yield module
    if has_magic(text) or not text.strip("./~ "):
        return
    file, _, name = text.partition(".py:")
    if name:
        path = root / Path(f"{file}.py").expanduser()
        if path.is_file():
            yield from path.parent.glob("*.py")  # it may import those beside it
        return
    path = root / Path(text).expanduser()
    is_model = path.is_dir() and any((path / inside).is_file() for inside in _MODEL_FILES)
    if is_model or (path.is_file() and not path.name.startswith(".")):
        yield path


def _module(root: Path, name: str) -> Path | None:
    """The package or the file of a module that lies in `root`; this package travels by itself."""
    if name == PACKAGE.name:
        return None
    if (root / name).is_dir() and any((root / name).glob("*.py")):
        return root / name
    return root / f"{name}.py" if (root / f"{name}.py").is_file() else None


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text among nested values, with the key nearest to it."""
    if isinstance(values, str):
        yield key, values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield from _texts(value, str(name))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value, key)

"""Loads the Python callable that a recipe names."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from grpo_plugin.errors import RewardError, suggestion
from grpo_plugin.scoring.side_effects import restored_directory

RewardCallable = Callable[..., Any]


class NotLoadable(ValueError):
    """What a recipe names cannot be loaded; the message does not name the block of the recipe."""


def resolve(spec: str, base_dir: Path) -> RewardCallable:
    """The reward function that `spec` names, as in `load_callable`; RewardError where there is none."""
    try:
        return load_callable(spec, base_dir)
    except NotLoadable as error:
        raise RewardError(f"rewards: {error}") from error.__cause__


def load_callable(spec: str, base_dir: Path, kind: str = "reward function") -> Callable[..., Any]:
    """The callable that `spec` names: `package.module.name`, or `path/to/file.py:name`.

    Files and modules are looked for beside the recipe (`base_dir`) and in the working directory.

    Args:
        kind: what it is meant to be, for the error.

    Raises:
        NotLoadable: there is no such file, module or name, the import fails, or the thing found cannot be called.
    """
    with restored_directory():
        found = _from_file(spec, base_dir) if ".py:" in spec else _from_module(spec, base_dir, kind)
    if not callable(found):
        raise NotLoadable(f"{spec!r} is a {type(found).__name__}, not a function; name a function in it.")
    return found


def model_path(spec: str, base_dir: Path) -> str | None:
    """The folder or id of the Hugging Face model that `spec` names, or None: `user/name`, or a folder with a config."""
    if ".py:" in spec or spec.endswith(".py"):
        return None
    for root in _roots(base_dir):
        if (root / spec / "config.json").is_file():
            return str(root / spec)
    is_id = spec.count("/") == 1 and not spec.startswith(("/", "."))
    return spec if is_id else None


def _roots(base_dir: Path) -> list[Path]:
    return list(dict.fromkeys([base_dir.resolve(), Path.cwd()]))


def _from_file(spec: str, base_dir: Path) -> Any:
    path, _, name = spec.rpartition(":")
    for root in _roots(base_dir):
        if (file := root / path).is_file():
            return _attribute(_load_file(file.resolve(), spec), name, spec)
    places = " and ".join(str(root) for root in _roots(base_dir))
    raise NotLoadable(f"{spec!r} names no file; looked in {places}.")


def _load_file(file: Path, spec: str) -> ModuleType:
    """Import a file once per process, under a module name of its own; its folder is importable from it."""
    name = "grpo_reward_file_" + "".join(char if char.isalnum() else "_" for char in str(file))
    if name in sys.modules:
        return sys.modules[name]
    _extend_path(file.parent)
    module_spec = importlib.util.spec_from_file_location(name, file)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise NotLoadable(f"importing {spec!r} failed: {_words(error)}; correct {file}.") from error
        raise
    return module


def _from_module(spec: str, base_dir: Path, kind: str) -> Any:
    """Import the longest prefix of a dotted path that is a module; the rest are attributes."""
    for root in _roots(base_dir):
        _extend_path(root)
    parts = spec.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise NotLoadable(
            f"{spec!r} is no {kind}; write package.module.name or path/to/file.py:name"
            f"{', or a Hugging Face model as user/name' if kind == 'reward function' else ''}."
        )
    for split in range(len(parts) - 1, 0, -1):
        module = _import(".".join(parts[:split]), spec)
        if module is not None:
            found: Any = module
            for name in parts[split:]:
                found = _attribute(found, name, spec)
            return found
    raise NotLoadable(f"{spec!r}: there is no module {parts[0]!r}; check the spelling, or install it.")


def _import(name: str, spec: str) -> ModuleType | None:
    """The module, or None where no module has this name; a failure inside it is an error."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise NotLoadable(f"importing {spec!r} failed: {_words(error)}; install it.") from error
    except (Exception, SystemExit) as error:
        raise NotLoadable(f"importing {spec!r} failed: {_words(error)}; correct the module.") from error


def _attribute(owner: Any, name: str, spec: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        public = [word for word in (*dir(owner), *_submodules(owner)) if not word.startswith("_")]
        remedy = suggestion(name, public, f"it has {', '.join(public) or 'no public name'}.")
        raise NotLoadable(f"{spec!r}: there is no {name!r} in it; {remedy}") from None


def _submodules(owner: Any) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(getattr(owner, "__path__", []))]


def _extend_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

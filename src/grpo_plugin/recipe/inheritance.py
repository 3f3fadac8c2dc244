"""`base:`, a recipe that changes another file.

Mappings are merged key by key, everything else is replaced, and null removes a key of the base:

    base: recipes/geometry3k.yaml
    plugins: [grpo_plugin.PromptPlugin, …]   # Axolotl reads these before the base is merged
    algorithm: {name: sapo, kl_coef: 0.0}

A list names several, later ones over earlier ones. A base lies beside the recipe or in the working directory, and may
have a base itself. The launcher merges when it reads the recipe, each training process when its first plugin is
registered: before Axolotl validates the configuration, and after the overrides of the command line, which therefore
win.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.yaml_file import read_yaml_mapping

KEY = "base"


def with_base(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`values` merged over the files that their `base` names, without the key `base`.

    Args:
        folder: where the recipe lies.

    Raises:
        RecipeError: a base cannot be read, is its own base, or names plugins that the recipe does not name.
    """
    return _merged(values, folder, ())


def base_files(path: Path) -> list[Path]:
    """The files that the recipe at `path` names as its base, and those that they name.

    Raises:
        RecipeError: one cannot be read.
    """
    names = _names(read_yaml_mapping(path, "recipe").get(KEY))
    files = [_find(name, path.parent) for name in names]
    return [*files, *(deeper for file in files for deeper in base_files(file))]


def apply(cfg: Any) -> None:
    """Merge the base into Axolotl's raw configuration, in place; idempotent."""
    if not cfg.get(KEY):
        return
    merged = with_base(cfg.to_dict(), Path(cfg.get("axolotl_config_path") or ".").parent)
    del cfg[KEY]
    cfg.update(merged)


def _merged(values: Mapping[str, Any], folder: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    own = {key: value for key, value in values.items() if key != KEY}
    base: dict[str, Any] = {}
    for name in _names(values.get(KEY)):
        path = _find(name, folder)
        if path in above:
            raise RecipeError(f"base: {name!r} is its own base; remove the key from one of the files.")
        base = _over(_merged(read_yaml_mapping(path, "base"), path.parent, (*above, path)), base)
    if missing := [plugin for plugin in base.get("plugins") or [] if plugin not in (own.get("plugins") or [])]:
        raise RecipeError(
            f"plugins: {missing[0]!r} is only in the base, and Axolotl reads plugins from the recipe alone; "
            "add it there."
        )
    return _over(own, base)


def _names(base: Any) -> list[str]:
    names = base if isinstance(base, list) else [base] if base else []
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise RecipeError(f"base: expected the name of a file, or a list of names, got {wrong[0]!r}.")
    return names


def _find(name: str, folder: Path) -> Path:
    tried = dict.fromkeys((folder, Path.cwd()))
    for root in tried:
        if (path := (root / Path(name).expanduser()).resolve()).is_file():
            return path
    raise RecipeError(f"base: {name!r} was not found in {' or '.join(map(str, tried))}; check the path.")


def _over(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **own}
    for key in own.keys() & base.keys():
        if isinstance(own[key], Mapping) and isinstance(base[key], Mapping):
            merged[key] = _over(own[key], base[key])
    return merged

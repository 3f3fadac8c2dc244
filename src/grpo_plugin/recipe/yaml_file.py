"""Reads YAML files of keys and values; each mistake is one sentence."""

from pathlib import Path
from typing import Any

import yaml

from grpo_plugin.errors import RecipeError


def read_yaml_mapping(path: Path, what: str, expected: str = "keys and values") -> dict[str, Any]:
    """The mapping in a YAML file.

    Args:
        what: names the file in an error: "recipe", "base".
        expected: what the file should hold, in words.

    Raises:
        RecipeError: a file that cannot be read, is not UTF-8, is not YAML, or holds no mapping.
    """
    where = f"{what} {str(path)!r}"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{where}: cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start}); convert it.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{where}: not valid YAML: {yaml_mistake(error)}.") from None
    if not isinstance(values, dict):
        found = "an empty file" if values is None else type(values).__name__
        raise RecipeError(f"{where}: expected {expected}, got {found}.")
    return values


def yaml_mistake(error: Exception) -> str:
    """What PyYAML could not read, on one line: `expected ',' or ']', but got '<stream end>' (line 3, column 1)`."""
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    problem = getattr(error, "problem", None) or str(error)
    return " ".join(f"{problem}{where}".split())

"""Keys, tokens and passwords in a recipe, which no file, tracker or screen gets."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "(hidden)"
SECRET_KEY = re.compile(
    r"(api_?key|access_?key|secret|passw(or)?d|credentials?|authorization|(hub|hf|auth|access|api|bearer)_?token)$",
    re.I,
)
SECRET_VARIABLE = re.compile(r"[A-Z0-9_]*(KEY|TOKEN|SECRET|PASSWORD)")
SECRET_OPTION = re.compile(r"(--[\w-]*(?:api-key|token|secret|password))(=.*)?")
SECRET_TEXT = re.compile(r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|gh[pousr]_\w{16,})|(?<=://)[^/@\s]+:[^/@\s]+(?=@)")


def without_secrets(value: Any) -> Any:
    """The value with keys, tokens and passwords replaced, wherever they are in it."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if _is_secret(str(key)) and inner else without_secrets(inner) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return _options(list(value))
    return SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value


def without_hidden(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments of a recipe that was kept without its secrets, without those that have lost their value.

    Returns:
        The arguments without the options whose value was hidden, and the names of those options.
    """
    kept: list[str] = []
    dropped: list[str] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if value == HIDDEN:
            dropped.append(name)
        elif argument == HIDDEN and kept:
            dropped.append(kept.pop())
        else:
            kept.append(argument)
    return kept, dropped


def _is_secret(key: str) -> bool:
    return bool(SECRET_KEY.search(key) or SECRET_VARIABLE.fullmatch(key))


def _options(values: list[Any]) -> list[Any]:
    """A list, in which an element after `--api-key` (or behind its `=`) is hidden."""
    found: list[Any] = []
    for index, value in enumerate(values):
        option = SECRET_OPTION.fullmatch(value) if isinstance(value, str) else None
        before = values[index - 1] if index else None
        if option and option[2]:
            found.append(f"{option[1]}={HIDDEN}")
        elif isinstance(before, str) and (known := SECRET_OPTION.fullmatch(before)) and not known[2]:
            found.append(HIDDEN)
        else:
            found.append(without_secrets(value))
    return found

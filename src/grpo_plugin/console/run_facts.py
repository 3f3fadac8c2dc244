"""What a run was made of: recipe, versions and machine, in `run.json` of its folder; secrets are left out."""

import json
import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from grpo_plugin.files import atomic_write
from grpo_plugin.recipe import Recipe

FILE = "run.json"
HIDDEN = "(hidden)"
PACKAGES = (
    "grpo-plugin",
    "axolotl",
    "trl",
    "transformers",
    "accelerate",
    "torch",
    "peft",
    "deepspeed",
    "datasets",
    "vllm",
)
SECRET_KEY = re.compile(
    r"(api_?key|access_?key|secret|passw(or)?d|credentials?|authorization|(hub|hf|auth|access|api|bearer)_?token)$",
    re.I,
)
SECRET_VARIABLE = re.compile(r"[A-Z0-9_]*(KEY|TOKEN|SECRET|PASSWORD)")
SECRET_OPTION = re.compile(r"(--[\w-]*(?:api-key|token|secret|password))(=.*)?")
SECRET_TEXT = re.compile(r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|gh[pousr]_\w{16,})|(?<=://)[^/@\s]+:[^/@\s]+(?=@)")


def write(recipe: Recipe, processes: int, step: int) -> None:
    """Write `run.json`; `step` is where training begins, more than 0 for a resumed run."""
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    found = facts(recipe, processes) | {"first_step": step}
    with atomic_write(recipe.output_dir / FILE) as file:
        file.write_text(json.dumps(found, indent=1, default=str, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The facts of the run in `folder`; none if it has not begun."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def facts(recipe: Recipe, processes: int) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "recipe": without_secrets(dict(recipe.values)),
        "versions": versions(recipe),
        "machine": machine(processes),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions(recipe: Recipe) -> dict[str, str]:
    """Versions of the packages that are installed, vLLM's in the environment that serves."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if recipe.rollout is not None and recipe.rollout.python:
        libraries = Path(recipe.rollout.python).parent.parent.glob("lib/python*/site-packages/vllm*-*.dist-info")
        found |= dict(folder.name.removesuffix(".dist-info").split("-", 1) for folder in libraries)
    return found


def machine(processes: int) -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processes": processes,
        "gpus of this process": gpus,
        "cpu cores": os.cpu_count(),
        "system": platform.platform(),
    }


def without_secrets(value: Any) -> Any:
    """The value with keys, tokens and passwords replaced, wherever they are in it."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if _is_secret(str(key)) and inner else without_secrets(inner) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return _options(list(value))
    return SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value


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

"""What a run was made of: recipe, versions and machine, in `run.json` of its folder; secrets are left out."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from grpo_plugin.files import atomic_write
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.secrets import without_secrets

FILE = "run.json"
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

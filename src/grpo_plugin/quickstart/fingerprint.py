"""Whether a folder holds the model of some settings. Does not import torch, because the launcher uses it."""

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

from grpo_plugin.config.quickstart import QuickstartConfig

FILE = "quickstart.json"
ROOM = "grpo_plugin.quickstart"
MAKERS = (
    *(f"{ROOM}.{name}" for name in ("problems", "tasks", "templates", "tokenizer", "teach", "model")),
    "grpo_plugin.environments.rendering",
)
MAKERS_OF_TASK = {
    "addition": (f"{ROOM}.additions",),
    "calculator": (f"{ROOM}.products", "environments.calculator"),
    "guessing": (f"{ROOM}.games", "environments.guessing"),
}


def fingerprint(settings: QuickstartConfig) -> dict[str, Any]:
    """What the model depends on: the settings, and a digest of the code that makes it."""
    digest = hashlib.sha256()
    for name in (*MAKERS, *MAKERS_OF_TASK[settings.task]):
        digest.update(_source(name))
    return {"settings": settings.model_dump(), "code": digest.hexdigest()[:16]}


def _source(module: str) -> bytes:
    """The text of a module, which is not run; empty for one that is not there, as whoever imports it will say."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # no such package
        found = None
    return b"" if found is None or found.origin is None else Path(found.origin).read_bytes()


def read_fingerprint(folder: str | Path) -> dict[str, Any] | None:
    """The record a finished model leaves in its folder, its held-out accuracy included; None without one."""
    try:
        record = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def is_ready(folder: str | Path, settings: QuickstartConfig) -> bool:
    """Whether `folder` holds the model of these settings, complete, made by this code."""
    record = read_fingerprint(folder)
    return record is not None and record.items() >= fingerprint(settings).items()

"""Whether a folder holds the model of some settings. Does not import torch, because the launcher uses it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from grpo_plugin.config.quickstart import QuickstartConfig

FILE = "quickstart.json"
MAKERS = (
    "additions.py",
    "products.py",
    "games.py",
    "problems.py",
    "tasks.py",
    "templates.py",
    "tokenizer.py",
    "teach.py",
    "model.py",
)


def fingerprint(settings: QuickstartConfig) -> dict[str, Any]:
    """What the model depends on: the settings, and a digest of the code that makes it."""
    digest = hashlib.sha256()
    for name in MAKERS:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return {"settings": settings.model_dump(), "code": digest.hexdigest()[:16]}


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

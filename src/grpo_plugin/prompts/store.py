"""A cache on disk; a key is a hash of everything that its result depends on."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from grpo_plugin.files import atomic_write

DATA = "prompts.arrow"
REPORT = "report.json"


def default_cache() -> Path:
    """`grpo-plugin` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "grpo-plugin"


def content_key(parts: Iterable[Any], files: Iterable[Path] = ()) -> str:
    """One hash over values (by their JSON) and over the content of files."""
    digest = hashlib.blake2b(json.dumps(list(parts), sort_keys=True, default=str).encode(), digest_size=16)
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def prepared(
    root: Path,
    key: str,
    prepare: Callable[[Path], dict[str, Any]],
    is_current: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> tuple[Path, dict[str, Any]]:
    """The folder prepared under `key` and its report.

    Made by `prepare(folder)` if it is not there, or if its report is no longer `is_current`. Of several processes one
    prepares, the others wait. A folder appears only when it is complete.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root / key
    with FileLock(root / f"{key}.lock"):
        if folder.is_dir() and not is_current(_report(folder)):
            shutil.rmtree(folder)
        if not folder.is_dir():
            _make(root, folder, prepare)
    return folder, _report(folder)


def stored(
    root: Path, key: str, make: Callable[[], dict[str, Any]], is_current: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The values stored under `key`, as JSON; made if they are missing, not readable, or no longer `is_current`."""
    path = root / f"{key}.json"
    with suppress(OSError, ValueError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if is_current(values):
            return values
    values = make()
    root.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write_text(json.dumps(values), encoding="utf-8")
    return values


def _report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / REPORT).read_text(encoding="utf-8"))


def _make(root: Path, folder: Path, prepare: Callable[[Path], dict[str, Any]]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="making-", dir=root))
    try:
        report = prepare(temporary)
        (temporary / REPORT).write_text(json.dumps(report), encoding="utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

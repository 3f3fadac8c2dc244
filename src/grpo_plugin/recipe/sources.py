"""The sources of `prompts.train` and `prompts.validation`: local files, a dataset of the hub, a task that is made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from grpo_plugin.compat.reasoning_gym_package import INSTALL, is_installed
from grpo_plugin.config.generated import PREFIX, SEED, SIZE, is_generated
from grpo_plugin.config.prompts import PromptsConfig, Sources, WeightedSource
from grpo_plugin.errors import DataError, nearest

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
# Formats that are not read; a folder with such a file is an error, or its data would be missing without an error.
UNREAD = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".tsv", ".arrow", ".feather", ".pkl", ".xlsx")

_HUB = re.compile(
    r"(?P<name>(?:[\w.-]+/)?[\w.-]+)(?::(?P<config>[\w.+-]+))?@(?P<split>[A-Za-z_][\w.-]*(?:\[[\d:%+-]*\])?)"
)
_HUB_WITHOUT_SPLIT = re.compile(r"[\w-][\w.-]*/[\w.-]+(?::[\w.+-]+)?")


@dataclass(frozen=True)
class Hub:
    """A dataset of the hub, or a folder laid out like one: `name`, optional `config`, `split`."""

    name: str
    config: str | None
    split: str


@dataclass(frozen=True)
class Task:
    """Rows that reasoning-gym makes: those of `seed` to `seed + size - 1` of one of its tasks."""

    name: str
    size: int
    seed: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One entry of `prompts.train` or `prompts.validation`: its text, its weight, and what it names, one of three."""

    spec: str
    weight: float | None
    hub: Hub | None
    files: tuple[Path, ...] = ()
    task: Task | None = None


def resolve(field: str, sources: Sources, base_dir: Path) -> list[Source]:
    """The sources of one field ("prompts.train"); files are looked up, names on the hub are only parsed.

    Relative paths are looked up beside the recipe (`base_dir`), then in the working directory.

    Raises:
        DataError: a file, folder or glob that is not there, text that names neither file nor dataset, or a task without
            the package that makes it.
    """
    weighted = any(entry.weight is not None for entry in sources)
    return [_resolve_one(field, entry, base_dir, weighted) for entry in sources]


def check_sources(config: PromptsConfig, base_dir: Path) -> None:
    """Check what can be checked without loading anything: the files named exist.

    Raises:
        DataError: as `resolve`, for `prompts.train` and `prompts.validation`.
    """
    for field, of_field in config.fields():
        resolve(field, of_field.train, base_dir)


def _resolve_one(field: str, entry: WeightedSource, base_dir: Path, weighted: bool) -> Source:
    spec = entry.source
    weight = (entry.weight or 1.0) if weighted else None
    if is_generated(spec):
        return Source(spec, weight, None, task=_task(field, entry))
    if files := _local_files(field, spec, base_dir):
        return Source(spec, weight, None, tuple(files))
    if match := _HUB.fullmatch(spec):
        if Path(match["name"]).is_file() or (base_dir / match["name"]).is_file():
            raise DataError(f"{field}: {spec!r} names a split of a file, which has none; write {match['name']}.")
        return Source(spec, weight, Hub(match["name"], match["config"], match["split"]))
    raise DataError(_not_found(field, spec, base_dir))


def _task(field: str, entry: WeightedSource) -> Task:
    if not is_installed():
        raise DataError(f"{field}: {entry.source!r} needs the package reasoning-gym, which is missing; {INSTALL}.")
    size, seed = SIZE if entry.size is None else entry.size, SEED if entry.seed is None else entry.seed
    return Task(entry.source.removeprefix(PREFIX), size, seed, entry.options or {})


def _local_files(field: str, spec: str, base_dir: Path) -> list[Path]:
    """The data files of a path, folder or glob, in the order of their names; empty if nothing of that name exists."""
    for root in dict.fromkeys((base_dir, Path.cwd())):
        path = root / Path(spec).expanduser()
        if path.is_file():
            return [_supported(field, spec, path)]
        if path.is_dir():
            return _files_of_folder(field, spec, path)
        if has_magic(spec) and (files := _glob(path)):
            return [_supported(field, spec, file) for file in files]
    return []


def _supported(field: str, spec: str, path: Path) -> Path:
    if path.suffix.lower() not in FORMATS:
        raise DataError(
            f"{field}: {spec!r} is a {path.suffix or 'nameless'} file; known formats: {', '.join(FORMATS)}."
        )
    return path


def _files_of_folder(field: str, spec: str, folder: Path) -> list[Path]:
    """The data files in a folder and in the folders in it, without those whose name begins with a dot."""
    inside = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    for path in inside:
        if path.suffix.lower() in UNREAD:
            raise DataError(
                f"{field}: folder {spec!r} holds {path.relative_to(folder)}, which cannot be read; unpack, convert or "
                "move it, or name the files to read by a pattern such as *.jsonl."
            )
    files = [path for path in inside if path.suffix.lower() in FORMATS]
    if not files:
        raise DataError(f"{field}: folder {spec!r} holds no data file; known formats: {', '.join(FORMATS)}.")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _glob(pattern: Path) -> list[Path]:
    relative = pattern.relative_to(pattern.anchor)
    return sorted(path for path in Path(pattern.anchor).glob(str(relative)) if path.is_file())


def _not_found(field: str, spec: str, base_dir: Path) -> str:
    if _HUB_WITHOUT_SPLIT.fullmatch(spec) and not spec.endswith(FORMATS):
        return f"{field}: {spec!r} is no local file, and as a dataset it names no split; write {spec}@train."
    if any((root / spec).exists() for root in (base_dir, Path.cwd())):
        return f"{field}: {spec!r} is neither a file nor a folder; name one (a pipe or a device cannot be read twice)."
    tried = " or ".join(dict.fromkeys((str(base_dir), str(Path.cwd()))))
    beside = {} if has_magic(spec) else _data_beside(base_dir / spec)
    otherwise = "check the path; a dataset of the hub is written user/name@split."
    close = nearest(Path(spec).stem, beside)
    return f"{field}: {spec!r} was not found in {tried}; {f'did you mean {beside[close]!r}?' if close else otherwise}"


def _data_beside(path: Path) -> dict[str, str]:
    """The data files and folders in the folder of `path`: name without suffix → name."""
    beside = list(path.parent.iterdir()) if path.parent.is_dir() else []
    return {entry.stem: entry.name for entry in beside if entry.is_dir() or entry.suffix.lower() in FORMATS}

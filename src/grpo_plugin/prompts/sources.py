"""Where rows come from: the words of `prompts.train` turned into local files or a dataset of the hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

from grpo_plugin.config.base import nearest
from grpo_plugin.config.prompts import PromptsConfig, Sources, WeightedSource
from grpo_plugin.errors import DataError

FORMATS = (".jsonl", ".json", ".csv", ".parquet")

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
class Source:
    """One entry of `prompts.train` or `prompts.validation`: its words, and what they mean."""

    spec: str
    weight: float | None
    hub: Hub | None
    files: tuple[Path, ...] = ()


def resolve(field: str, sources: Sources, base_dir: Path) -> list[Source]:
    """Read the sources of one field ("prompts.train"); files are looked up, hub names only parsed.

    Relative paths are looked up beside the recipe (`base_dir`), then in the working directory.

    Raises:
        DataError: a file, folder or glob that is not there, or words that name neither file nor dataset.
    """
    weighted = any(entry.weight is not None for entry in sources)
    return [_resolve_one(field, entry, base_dir, weighted) for entry in sources]


def check_sources(config: PromptsConfig, base_dir: Path) -> None:
    """Check what can be checked without loading anything: the files named exist.

    Raises:
        DataError: as `resolve`, for `prompts.train` and `prompts.validation`.
    """
    resolve("prompts.train", config.train, base_dir)
    if config.validation is not None:
        resolve("prompts.validation", config.validation, base_dir)


def _resolve_one(field: str, entry: WeightedSource, base_dir: Path, weighted: bool) -> Source:
    spec = entry.source
    weight = (entry.weight or 1.0) if weighted else None
    if files := _local_files(field, spec, base_dir):
        return Source(spec, weight, None, tuple(files))
    if match := _HUB.fullmatch(spec):
        return Source(spec, weight, Hub(match["name"], match["config"], match["split"]))
    raise DataError(_not_found(field, spec, base_dir))


def _local_files(field: str, spec: str, base_dir: Path) -> list[Path]:
    """The data files a path, folder or glob stands for, in name order; empty when nothing of that name exists."""
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
    if path.suffix not in FORMATS:
        raise DataError(
            f"{field}: {spec!r} is a {path.suffix or 'nameless'} file; known formats: {', '.join(FORMATS)}."
        )
    return path


def _files_of_folder(field: str, spec: str, folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in FORMATS)
    if not files:
        raise DataError(f"{field}: folder {spec!r} holds no data file; known formats: {', '.join(FORMATS)}.")
    return files


def _glob(pattern: Path) -> list[Path]:
    relative = pattern.relative_to(pattern.anchor)
    return sorted(path for path in Path(pattern.anchor).glob(str(relative)) if path.is_file())


def _not_found(field: str, spec: str, base_dir: Path) -> str:
    if _HUB_WITHOUT_SPLIT.fullmatch(spec) and not spec.endswith(FORMATS):
        return f"{field}: {spec!r} is no local file, and as a dataset it names no split; write {spec}@train."
    tried = " or ".join(dict.fromkeys((str(base_dir), str(Path.cwd()))))
    close = nearest(Path(spec).name, _names_beside(base_dir / spec))
    hint = f"did you mean {close!r}?" if close else "check the path; a dataset of the hub is written user/name@split."
    return f"{field}: {spec!r} was not found in {tried}; {hint}"


def _names_beside(path: Path) -> Sequence[str]:
    return [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []

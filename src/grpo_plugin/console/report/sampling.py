"""Which files of the generation log go into a report: all of them, or evenly spaced steps where they are too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

TRAIN = "train"  # the split of training; others are sets of held-out prompts


@dataclass(frozen=True)
class LogFile:
    """One file of the generation log; `bytes` as it was before compression."""

    path: Path
    split: str
    step: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Chosen:
    """The files of a report, out of logs with `rows` completions in `steps` (a validation counts as a step)."""

    files: list[LogFile]
    rows: int
    steps: int
    steps_taken: int

    @property
    def sentence(self) -> str:
        """What of the run's completions is in the report."""
        taken = sum(file.rows for file in self.files)
        if taken == self.rows:
            return f"All {self.rows:,} completions of the run."
        return (
            f"{taken:,} of the run's {self.rows:,} completions: those of {self.steps_taken:,} of {self.steps:,} steps "
            "and validations, evenly spaced. All of them are in generations/."
        )


def log_files(folders: Sequence[Path]) -> list[LogFile]:
    """The files of generation logs, by folder, split and step."""
    return [_log_file(path) for folder in folders for path in sorted(folder.glob("*-*-*.parquet"))]


def choose(files: Sequence[LogFile], rows: int, size: int) -> Chosen:
    """Whole steps with at most `rows` completions of `size` bytes; training and validation get half each, or the rest.

    The first and the last step of both are always taken; a single step is taken whole, however large.
    """
    parts = [[file for file in files if (file.split == TRAIN) == train] for train in (True, False)]
    shares = [_share(part, rows, size) for part in parts]
    chosen, taken = [], 0
    for part, share, other in zip(parts, shares, reversed(shares), strict=True):
        steps = _evenly(sorted({file.step for file in part}), max(0.5, 1.0 - other) / share if share else 1.0)
        chosen += [file for file in part if file.step in set(steps)]
        taken += len(steps)
    number = sum(len({file.step for file in part}) for part in parts)
    return Chosen(chosen, sum(file.rows for file in files), number, taken)


def _share(files: Sequence[LogFile], rows: int, size: int) -> float:
    """How much of the report the files would fill."""
    return max(sum(file.rows for file in files) / rows, sum(file.bytes for file in files) / size)


def _evenly(steps: Sequence[int], share: float) -> list[int]:
    """A share of the steps, the first and the last among them."""
    count = int(len(steps) * share)
    if count >= len(steps):
        return list(steps)
    if count < 2:
        return [*steps[:1], *steps[1:][-1:]]
    return [steps[round(place * (len(steps) - 1) / (count - 1))] for place in range(count)]


def _log_file(path: Path) -> LogFile:
    split, step, _ = path.stem.rsplit("-", 2)
    metadata = pq.read_metadata(path)
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return LogFile(path, split, int(step), metadata.num_rows, size)

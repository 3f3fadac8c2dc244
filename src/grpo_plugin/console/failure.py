"""The report of a failed run: one sentence on the screen, the whole traceback in debug.log."""

import re
import shutil
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from traceback import FrameSummary
from typing import TextIO

from grpo_plugin.errors import GrpoPluginError
from grpo_plugin.recipe.checkpoints import newest_whole

FRAMES = 3
LONGEST = 500  # characters of a library's message; torch adds C++ stacks to some
# The system's words, and those of torch.save.
NO_SPACE = re.compile(
    r"No space left|[Dd]isk quota exceeded|PytorchStreamWriter failed|unexpected pos \d+ vs|file write failed"
)
FULL = 256 * 2**10  # bytes; a disk with fewer free counts as full


def report_failure(console: TextIO, error: BaseException, output_dir: Path) -> None:
    """Print `error: …` to `console` and append the traceback to `output_dir/debug.log`, if that can be written.

    An error of ours is one sentence that names the remedy, and so is a full disk. Any other comes with its type and the
    last frames of code that is no library's, which is where a reward function's own mistake is.
    """
    console.write("".join(f"{line}\n" for line in _lines(error, output_dir)))
    console.flush()
    with suppress(OSError), (output_dir / "debug.log").open("a", encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))


def _lines(error: BaseException, output_dir: Path) -> list[str]:
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted"]
    message = " ".join(str(error).split())
    if isinstance(error, GrpoPluginError):
        return [f"error: {message}"]
    if any(NO_SPACE.search(str(cause)) for cause in _causes(error)):
        return [f"error: {_of_full_disk(_fullest(output_dir), output_dir)}"]
    frames = [_frame(frame) for frame in _own_frames(error)[-FRAMES:]]
    headline = f"error: {type(error).__name__}" + (f": {message[:LONGEST]}" if message else "")
    return [headline, *frames, f"  full traceback in {output_dir / 'debug.log'}"]


def full_disk(output_dir: Path) -> str | None:
    """The sentence about a disk of the run that is full now; None where there is none.

    For a process that ended without a word, as one does that has nowhere to write its traceback.
    """
    folder = _fullest(output_dir)
    return _of_full_disk(folder, output_dir) if shutil.disk_usage(folder).free < FULL else None


def _fullest(output_dir: Path) -> Path:
    """Of the folders that a run writes to, the one whose disk has the least space free."""
    folders = [folder for folder in (output_dir, Path("/dev/shm"), Path(tempfile.gettempdir())) if folder.is_dir()]
    return min(folders, key=lambda folder: shutil.disk_usage(folder).free)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_full_disk(folder: Path, output_dir: Path) -> str:
    newest = newest_whole(output_dir)
    whole = f"{newest} is whole" if newest else "no checkpoint is whole"
    resume = ", then give the same command with --auto-resume-from-checkpoints" if newest else ""
    return f"no space left on the disk of {folder}; {whole}. Free space, or set save_total_limit{resume}."


def _own_frames(error: BaseException) -> list[FrameSummary]:
    """Frames outside the standard library and installed packages; all frames if there is none outside."""
    libraries = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_file() and not _is_in(frame.filename, libraries)]
    return own or list(frames)


def _is_in(filename: str, folders: set[Path]) -> bool:
    return not folders.isdisjoint(Path(filename).resolve().parents)


def _frame(frame: FrameSummary) -> str:
    path = Path(frame.filename)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"  {path}:{frame.lineno} in {frame.name}: {frame.line}"

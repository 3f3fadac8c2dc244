"""How a run says why it ended: one sentence on the screen, the whole traceback in debug.log."""

import sysconfig
import traceback
from pathlib import Path
from traceback import FrameSummary
from typing import TextIO

from grpo_plugin.errors import GrpoPluginError

FRAMES = 3
LONGEST = 500  # characters of a library's message; torch adds C++ stacks to some


def report_failure(console: TextIO, error: BaseException, debug_log: Path) -> None:
    """Print `error: …` to `console` and append the traceback to `debug_log`.

    An error of ours is one sentence that names the remedy. Any other comes with its type and the last frames of code
    that is no library's, which is where a reward function's own mistake is.
    """
    with debug_log.open("a", encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))
    console.write("".join(f"{line}\n" for line in _lines(error, debug_log)))
    console.flush()


def _lines(error: BaseException, debug_log: Path) -> list[str]:
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted"]
    message = " ".join(str(error).split())
    if isinstance(error, GrpoPluginError):
        return [f"error: {message}"]
    frames = [_frame(frame) for frame in _own_frames(error)[-FRAMES:]]
    headline = f"error: {type(error).__name__}" + (f": {message[:LONGEST]}" if message else "")
    return [headline, *frames, f"  full traceback in {debug_log}"]


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

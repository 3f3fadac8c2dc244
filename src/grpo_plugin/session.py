"""One run on this machine, across its processes: a private folder, and what the launcher passes to the trainers.

The launcher writes the environment variables below; the processes of `axolotl train` inherit them.
"""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from grpo_plugin.rollout.server.guard import PR_SET_PDEATHSIG, prctl, start_time

FOLDER = "GRPO_SESSION"  # the session's private folder
LAUNCHER = "GRPO_LAUNCHER"  # the launcher's process id
CONSOLE = "GRPO_CONSOLE"  # set until a process has taken the user's screen, which it inherits as descriptor 0
SERVER = "GRPO_SERVER"  # run_dir of the vLLM server that the launcher starts
GPUS = "GRPO_GPUS_SPLIT"  # CUDA_VISIBLE_DEVICES as it was before the server's GPUs were taken out

TRAINING = "training-"  # the file of a trainer process, before its id
BEFORE_TRAINING = "before the first step"
WIDTH = 200  # characters


@dataclass(frozen=True)
class Session:
    """A run started by the `axolotl` command; a run started otherwise (torchrun, Ray) has no session."""

    folder: Path

    @classmethod
    def current(cls) -> "Session | None":
        """The session that this process belongs to."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder)) if folder else None

    @property
    def server_dir(self) -> Path | None:
        """The run_dir of the server that the launcher started; None if it started none."""
        folder = os.environ.get(SERVER)
        return Path(folder) if folder else None

    def take_console(self) -> TextIO | None:
        """The user's screen, once per process; None if this process, or its parent, has taken it already."""
        if os.environ.pop(CONSOLE, None) is None:
            return None
        console = os.fdopen(os.dup(0), "w", buffering=1, encoding="utf-8", errors="replace")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return console

    def report_server_adopted(self) -> None:
        """Notify the launcher that the trainer watches the server from now on."""
        (self.folder / "adopted").touch()

    @property
    def server_adopted(self) -> bool:
        return (self.folder / "adopted").exists()

    def report_can_save(self) -> None:
        """Notify the launcher that the trainer, when asked to stop, saves a checkpoint after the step in hand."""
        (self.folder / "can-save").touch()

    @property
    def can_save(self) -> bool:
        return (self.folder / "can-save").exists()

    def ask_to_stop(self, number: int) -> None:
        """Ask the trainers to save a checkpoint and end, on behalf of a signal."""
        (self.folder / "stop").write_text(str(number))

    @property
    def asked_to_stop(self) -> int:
        """The number of the signal on whose behalf the launcher asks; 0 while it does not."""
        try:
            return int((self.folder / "stop").read_text() or 0)
        except FileNotFoundError:
            return 0

    def report_failure(self) -> None:
        """Notify the launcher that the screen shows why the run failed."""
        (self.folder / "reported").touch()

    @property
    def failure_reported(self) -> bool:
        return (self.folder / "reported").exists()

    def trainer(self) -> "TrainerMark":
        """The mark of this process, which trains from now on."""
        return TrainerMark(self.folder / f"{TRAINING}{os.getpid()}")

    def lost_trainer(self) -> str | None:
        """Where in the run a trainer process ended without an end of its run; None while there is no such process."""
        for mark in sorted(self.folder.glob(f"{TRAINING}*")):
            if start_time(int(mark.name.removeprefix(TRAINING))) is None:
                with suppress(FileNotFoundError):  # it ended, and took its mark away, since the look into the folder
                    return mark.read_text().strip() or BEFORE_TRAINING
        return None

    def remove_if_orphaned(self) -> None:
        """Remove the folder if the launcher, which does it at the end of a run, was killed."""
        if start_time(int(os.environ.get(LAUNCHER, 0))) is None:
            shutil.rmtree(self.folder, ignore_errors=True)


class TrainerMark:
    """A file that is there while a trainer process trains, and says where it is; one that is killed leaves it behind.

    The launcher cannot tell an exit with code 0 in the middle of a run (`os._exit` in a library or a reward) from its
    end otherwise.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def write(self, text: str) -> None:
        """Say where the run is, in at most WIDTH characters; takes two microseconds."""
        with suppress(OSError):  # the temporary folder is full
            os.pwrite(self._file, text.ljust(WIDTH)[:WIDTH].encode("ascii", "replace"), 0)

    def remove(self) -> None:
        """The run of this process has ended, or its failure is on the screen."""
        self._path.unlink(missing_ok=True)


def is_main() -> bool:
    """Whether this process is rank 0 of all machines, by the variable that torchrun and accelerate set."""
    return int(os.environ.get("RANK", 0)) == 0


def environ_before_split() -> Mapping[str, str]:
    """This process's environment with the GPUs that trainer and server share, as the launcher found it."""
    environ = dict(os.environ)
    if GPUS in environ:
        environ["CUDA_VISIBLE_DEVICES"] = environ[GPUS]
    return environ


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent ends (Linux alone); survives exec."""
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""What the processes of one run tell each other through the environment: who watches, where the screen is."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from grpo_plugin.rollout.server.guard import start_time

FOLDER, LAUNCHER = "GRPO_SESSION", "GRPO_LAUNCHER"
CONSOLE, SERVER, GPUS = "GRPO_CONSOLE", "GRPO_SERVER", "GRPO_GPUS_SPLIT"


@dataclass(frozen=True)
class Session:
    """A run started by the `axolotl` command; a run started otherwise (torchrun, Ray) has no session."""

    folder: Path

    @classmethod
    def current(cls) -> "Session | None":
        folder = os.environ.get(FOLDER)
        return cls(Path(folder)) if folder else None

    @property
    def server_dir(self) -> Path | None:
        """Where the server that the launcher started keeps its socket and state; None if it started none."""
        folder = os.environ.get(SERVER)
        return Path(folder) if folder else None

    def take_console(self) -> TextIO | None:
        """The screen, once per process: the launcher hands it down as descriptor 0 (see cli.supervisor.fork)."""
        if os.environ.pop(CONSOLE, None) is None:
            return None
        console = os.fdopen(os.dup(0), "w", buffering=1, encoding="utf-8", errors="replace")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return console

    def adopt_server(self) -> None:
        """Tell the launcher that the trainer minds the server from now on."""
        (self.folder / "adopted").touch()

    @property
    def server_adopted(self) -> bool:
        return (self.folder / "adopted").exists()

    def remove_if_orphaned(self) -> None:
        """Remove the folder where the launcher, whose task that is, has been killed."""
        if start_time(int(os.environ.get(LAUNCHER, 0))) is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def report_failure(self) -> None:
        """Tell the launcher that the user has been told why the run failed."""
        (self.folder / "reported").touch()

    @property
    def failure_reported(self) -> bool:
        return (self.folder / "reported").exists()

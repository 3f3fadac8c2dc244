"""What the processes of one run tell each other through the environment: who watches, where the screen is."""

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER, CONSOLE, SERVER, GPUS = "GRPO_SESSION", "GRPO_CONSOLE", "GRPO_SERVER", "GRPO_GPUS_SPLIT"


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

    @property
    def console(self) -> Path | None:
        """The screen, while this process's own output goes to debug.log."""
        path = os.environ.get(CONSOLE)
        return Path(path) if path else None

    def report_failure(self) -> None:
        """Tell the launcher that the user has been told why the run failed."""
        (self.folder / "reported").touch()

    @property
    def failure_reported(self) -> bool:
        return (self.folder / "reported").exists()

"""A recipe on a machine behind ssh: its files are copied, the run outlives the connection, and is followed from here.

The machine has an environment with this package (docs/installation.md) and rsync. In the run's folder there:
`run.log` is the screen, `run.pid` the process and its start time while it runs, `run.code` the exit code after that.
"""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grpo_plugin.cloud import files
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe

NO_CONNECTION = 255  # ssh's own exit code
RUNNING, NO_ENVIRONMENT, NO_RUN, NO_FOLDER = 71, 72, 73, 74  # of the scripts below

# A process id may be another process's by now: its start time is kept beside it.
_FUNCTIONS = """
started() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20; }
alive() { read -r pid start 2> /dev/null < run.pid && [ "$(started "$pid")" = "$start" ]; }
"""
_CHECK = """
mkdir -p {folder} && cd {folder} || exit {no_folder}
alive && exit {running}
command -v {axolotl} > /dev/null || command -v "$HOME"/{axolotl} > /dev/null || exit {no_environment}
"""
_START = """
axolotl=$(command -v {axolotl} || command -v "$HOME"/{axolotl})
rm -f run.code run.pid
nohup setsid bash -c '
    {functions}
    "$@" & echo "$! $(started $!)" > run.pid; wait $!; echo $? > run.code; rm -f run.pid
' run "$axolotl" {words} > run.log 2>&1 < /dev/null &
for _ in $(seq 100); do [ -s run.pid ] || [ -f run.code ] && break; sleep 0.1; done
"""
_FOLLOW = """
cd {folder} 2> /dev/null && [ -f run.log ] || exit {no_run}
if alive; then tail -n +1 --pid="$pid" -F run.log 2> /dev/null; else cat run.log; fi
for _ in $(seq 50); do [ -f run.code ] && exit "$(cat run.code)"; sleep 0.1; done
exit 1
"""
_STOP = """
cd {folder} 2> /dev/null && alive || exit {no_run}
kill -TERM "$pid"
"""


@dataclass(frozen=True)
class Remote:
    """A machine, and a folder on it.

    Attributes:
        host: as ssh takes it: a name of its configuration, or user@host.
        folder: where the run works, relative to the home there or absolute.
        axolotl: the program there, a path or a name.
        ssh: the command of ssh with its options.
    """

    host: str
    folder: str
    axolotl: str = "axolotl"
    ssh: tuple[str, ...] = field(default=("ssh",))

    def send(self, paths: Sequence[str]) -> None:
        """Copy files of the working directory to the same places below the folder.

        Raises:
            RecipeError: rsync is not there, or the copy failed.
        """
        self._run(f"mkdir -p {shlex.quote(self.folder)}")
        self._rsync(["--files-from=-", "./", f"{self.host}:{self.folder}/"], "\n".join(paths))

    def fetch(self, path: str) -> None:
        """Copy a folder of the run to the same place here."""
        Path(path).mkdir(parents=True, exist_ok=True)
        self._rsync([f"{self.host}:{self.folder}/{path}/", f"{path}/"])

    def check(self) -> None:
        """Look whether a run can start there.

        Raises:
            RecipeError: a run is under way in the folder, or the environment is not there.
        """
        code = self._run(self._script(_CHECK))
        if code == RUNNING:
            raise RecipeError(
                f"{self.host}:{self.folder}: a run is under way there; follow it with --follow, end it with --stop, or "
                "give this one another --folder."
            )
        if code == NO_ENVIRONMENT:
            raise RecipeError(
                f"--axolotl: {self.axolotl!r} is not on {self.host}; install the package there "
                "(docs/installation.md) and name the program of its environment, as a path below the home or --folder."
            )
        if code:
            raise RecipeError(f"--folder: {self.folder!r} cannot be made on {self.host}; name another.")

    def start(self, words: Sequence[str], secrets: Mapping[str, str]) -> None:
        """Start `axolotl` with its arguments in the folder; it outlives the connection.

        Args:
            secrets: environment variables, which go through the connection's standard input and onto no command line.

        Raises:
            RecipeError: as `check`.
        """
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())
        self.check()
        self._run(exports + self._script(_CHECK + _START, words))

    def follow(self) -> int:
        """Show the run's screen from its beginning, until it ends; returns its exit code."""
        code = self._run(self._script(_FOLLOW))
        if code == NO_RUN:
            raise RecipeError(f"{self.host}:{self.folder}: no run was started there; check --folder.")
        return code

    def stop(self) -> None:
        """Send the run SIGTERM, upon which it saves a checkpoint and ends."""
        if self._run(self._script(_STOP)) == NO_RUN:
            raise RecipeError(f"{self.host}:{self.folder}: no run is under way there; check --folder.")

    def _script(self, text: str, words: Sequence[str] = ()) -> str:
        return _FUNCTIONS + text.format(
            folder=shlex.quote(self.folder),
            axolotl=shlex.quote(self.axolotl),
            words=shlex.join(words),
            functions=_FUNCTIONS.replace("'", "'\\''"),
            running=RUNNING,
            no_environment=NO_ENVIRONMENT,
            no_run=NO_RUN,
            no_folder=NO_FOLDER,
        )

    def _run(self, script: str) -> int:
        done = subprocess.run([*self.ssh, self.host, "bash", "-s"], input=script, text=True)
        if done.returncode == NO_CONNECTION:
            raise RecipeError(
                f"{self.host}: no connection; a run that was started goes on. Try "
                f"`{shlex.join([*self.ssh, self.host, 'true'])}`."
            )
        return done.returncode

    def _rsync(self, words: Sequence[str], names: str = "") -> None:
        command = ["rsync", "-a", "-e", shlex.join(self.ssh), *words]
        try:
            done = subprocess.run(command, input=names, text=True, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise RecipeError("rsync: there is no such program here; install it.") from None
        if done.returncode:
            raise RecipeError(
                f"{self.host}: rsync failed ({done.stderr.strip().splitlines()[-1:]}); is it installed there?"
            )


def paths_of(recipe: Recipe) -> list[str]:
    """The files that the recipe needs, relative to the working directory.

    Raises:
        RecipeError: one lies outside of it.
    """
    return [str(Path(part.path) / inside) for part in files.needed(recipe) for inside in part.files()]

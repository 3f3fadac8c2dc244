"""Before Axolotl is imported: check the recipe, start vLLM, and watch the run from the parent process.

vLLM takes about as long to start as Axolotl's imports and model loading together, so it starts first.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grpo_plugin import session
from grpo_plugin.compat import cpu_ranks, telemetry
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.console.debug_log import DebugLog
from grpo_plugin.console.failure import full_disk
from grpo_plugin.errors import GrpoPluginError, RecipeError
from grpo_plugin.launcher.arguments import TrainArguments, read_train
from grpo_plugin.launcher.machines import check_machine
from grpo_plugin.launcher.supervisor import Supervisor, fork
from grpo_plugin.recipe import Recipe, check, overrides, read
from grpo_plugin.recipe.plugin_names import is_ours
from grpo_plugin.recipe.resuming import resumption
from grpo_plugin.rollout.server.devices import visible_gpus
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server
from grpo_plugin.session import Session

KILLED = re.compile(r"died with <Signals\.(SIG\w+)")
"""accelerate's words in debug.log about a trainer that crashed or was killed."""

LOST_GRACE = 10.0
"""Seconds that a launcher of ranks has to end them after one of them is gone."""

SCHEDULERS = (signal.SIGTERM, signal.SIGUSR1)
"""What a scheduler sends before it ends a run; Ctrl-C ends it at once."""


def before_axolotl(words: list[str]) -> None:
    """Prepare the run of the command `axolotl WORDS`.

    Returns at once for anything but a local `train` of one of our recipes. For that it returns in a forked child, which
    goes on as Axolotl; the process that the user started exits with the run's code. A wrong recipe exits with 2 and one
    sentence.
    """
    telemetry.turn_off()
    arguments = read_train(words)
    if arguments is None or not Path(arguments.recipe).is_file():
        return
    try:
        values = read(arguments.recipe, arguments.overrides)
        if not is_ours(values):
            return
        if arguments.mistake:
            raise RecipeError(arguments.mistake)
        recipe = check(values)
        if arguments.cloud is not None:
            sys.exit(_start_elsewhere(recipe, arguments, arguments.cloud))
        overrides.keep(arguments.overrides)
        if arguments.sweep is None:
            check_machine(recipe, arguments)
            resumption(recipe)
            _start(recipe, arguments)
    except GrpoPluginError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _start_elsewhere(recipe: Recipe, arguments: TrainArguments, cloud: str) -> int:
    """Run the recipe where the file after `--cloud` says; returns the exit code.

    Raises:
        RecipeError: the command line or the file does not allow it.
    """
    from grpo_plugin.cloud import modal_run

    for name, given in (("--sweep", arguments.sweep), ("--num-machines", arguments.num_machines > 1)):
        if given:
            raise RecipeError(
                f"{name}: cannot be combined with --cloud, which runs one recipe in one container; drop one."
            )
    return modal_run.start(
        recipe,
        cloud,
        arguments.passed,
        num_processes=arguments.num_processes,
        checks=arguments.launcher == "accelerate",
        dry_run=arguments.dry_run,
    )


def _start(recipe: Recipe, arguments: TrainArguments) -> None:
    _make_quickstart_model(recipe)
    launch = Launch(recipe, arguments)
    child = launch.fork()
    if child:
        sys.exit(launch.watch(child))


def _make_quickstart_model(recipe: Recipe) -> None:
    """Make the quickstart's model, if it is not there yet, in a process of its own: it imports torch."""
    if recipe.quickstart is None:
        return
    from grpo_plugin.quickstart import is_ready

    if not is_ready(recipe.values["base_model"], recipe.quickstart):
        command = [sys.executable, "-m", "grpo_plugin.quickstart", recipe.values["axolotl_config_path"]]
        if subprocess.call(command) != 0:
            sys.exit(1)


class Launch:
    """One run on this machine: its private folder, its server, its debug log.

    Raises:
        RecipeError: GPUs, processes and recipe do not fit, or output_dir cannot be written.
    """

    def __init__(self, recipe: Recipe, arguments: TrainArguments) -> None:
        self.plan = _plan_server(recipe, arguments)
        self.debug_log = DebugLog(recipe.output_dir)
        self.server_log = recipe.output_dir / "vllm.log"
        resumes = recipe.values.get("resume_from_checkpoint") or recipe.values.get("auto_resume_from_checkpoints")
        self._log = self.debug_log.open(append=bool(resumes))
        self.session = Session(Path(tempfile.mkdtemp(prefix="grpo-")))
        self.server_dir = self.session.folder / "vllm"
        self.server: Server | None = None
        self._looked_at = self._lost_since = time.monotonic()
        several = arguments.launcher == "accelerate" and (arguments.num_processes or 1) > 1
        self._cpu_ranks = (arguments.num_processes or 1) if several and not visible_gpus(os.environ) else 0
        self.stop_timeout = (recipe.rollout or RolloutConfig()).stop_timeout

    def fork(self) -> int:
        """Fork; 0 in the process that goes on as Axolotl, whose environment holds what its trainers need."""
        os.environ[session.FOLDER] = str(self.session.folder)
        os.environ[session.LAUNCHER] = str(os.getpid())
        if self.plan:
            os.environ[session.SERVER] = str(self.server_dir)
            if self.plan.split.trainer:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.plan.split.trainer)
                os.environ[session.GPUS] = ",".join(self.plan.split.trainer + self.plan.split.server)
        os.environ[session.CONSOLE] = "0"
        if self._cpu_ranks:
            print(f"processes  {self._cpu_ranks} on CPUs, as no GPU was found", flush=True)
            sys.argv[1:] = cpu_ranks.launcher_words(sys.argv[1:], self._cpu_ranks, os.environ)
        return fork(self._log)

    def watch(self, child: int) -> int:
        """Start the server beside the child, wait for both, and return the exit code of the run.

        A run that fails without a sentence of its own is explained by the end of its debug log.
        """
        supervisor = Supervisor(
            child,
            on_end=self._stop_server,
            on_poll=lambda: self._poll(supervisor),
            ask_to_stop=self._ask_to_stop,
        )
        with self._reported(supervisor):
            if self.plan:
                self.server_dir.mkdir(mode=0o700)
                self.server = self.plan.launch(self.server_dir, self.server_log)
        code = supervisor.wait()
        lost = None if supervisor.signal else self.session.lost_trainer()
        if (code or lost) and not supervisor.signal and not self.session.failure_reported:
            print(f"error: {_unreported(code, lost, self.debug_log)}", file=sys.stderr)
        shutil.rmtree(self.session.folder, ignore_errors=True)
        return code or int(lost is not None)

    def _poll(self, supervisor: Supervisor) -> None:
        """End the run if the server ends before a trainer has adopted it, which may be minutes later."""
        self.debug_log.keep_bounded()
        self._end_where_a_trainer_is_lost(supervisor)
        if self.server and not self.session.server_adopted and not self.server.alive():
            server, self.server = self.server, None
            with self._reported(supervisor):
                server.wait_ready(0.0)

    def _end_where_a_trainer_is_lost(self, supervisor: Supervisor) -> None:
        """End the run if one of several ranks is gone and the others wait for it, looked at once a second."""
        now = time.monotonic()
        if now - self._looked_at < 1.0 or self.session.failure_reported:
            return
        self._looked_at = now
        if self.session.lost_trainer() is None:
            self._lost_since = now
        elif now - self._lost_since > LOST_GRACE:
            supervisor.stop()

    def _ask_to_stop(self, number: int) -> float | None:
        """Have the trainers save a checkpoint, if they can and a scheduler asks; returns the seconds they may take."""
        if number not in SCHEDULERS or not self.session.can_save:
            return None
        try:
            self.session.ask_to_stop(number)
        except OSError:  # the temporary folder is full
            return None
        line = f"{signal.Signals(number).name}: saving a checkpoint after this step, for up to {self.stop_timeout:g} s"
        with suppress(OSError, ValueError):  # a terminal or pipe that is gone does not keep the run from saving
            os.write(sys.stdout.fileno(), f"{line}; once more to end at once\n".encode())
        return self.stop_timeout

    @contextmanager
    def _reported(self, supervisor: Supervisor) -> Iterator[None]:
        """Show an error of the block at once, and end the run."""
        try:
            yield
        except GrpoPluginError as error:
            print(f"error: {error}", file=sys.stderr)
            self.session.report_failure()
            supervisor.stop()

    def _stop_server(self) -> None:
        if self.server:
            self.server.stop()


def _unreported(code: int, lost: str | None, log: DebugLog) -> str:
    """What is known of a run that failed without a sentence of its own.

    Args:
        lost: where a trainer process ended without an end of its run, if one did.
    """
    where, ending = f" {lost}" if lost else "", log.ending()
    if killed := KILLED.search(ending):
        return f"the trainer was ended{where} by {killed[1]}; the log is {log.path}"
    if full := full_disk(log.path.parent):
        return full
    if code:
        return f"training ended with exit code {code}{where}; {ending}"
    return (
        f"the trainer ended{where} with exit code 0, before its model was saved; a reward function or a library called "
        f"os._exit (a reward with rewards.workers of 1 or more cannot end the trainer); the log is {log.path}"
    )


def _plan_server(recipe: Recipe, arguments: TrainArguments) -> ServerPlan | None:
    """The server that this machine starts, None if it starts none."""
    if recipe.rollout is None:
        return None
    processes = arguments.num_processes and arguments.num_processes // max(1, arguments.num_machines)
    plan = plan_server(
        recipe.values,
        recipe.rollout,
        os.environ,
        num_processes=processes,
        uses_vllm=recipe.uses_vllm,
        serves_here=arguments.is_first,
    )
    return plan if recipe.serves and arguments.is_first else None

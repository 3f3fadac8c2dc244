"""Before Axolotl is imported: check the recipe, start vLLM, and stay behind to watch the run.

vLLM takes about as long to start as Axolotl's imports and model loading together, so it starts first.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grpo_plugin import session
from grpo_plugin.errors import GrpoPluginError, RecipeError
from grpo_plugin.launcher.arguments import TrainArguments, read_train
from grpo_plugin.launcher.machines import check_machine
from grpo_plugin.launcher.supervisor import Supervisor, fork, tail
from grpo_plugin.recipe.recipe import Recipe, check, is_ours, read
from grpo_plugin.rollout.server.process import Server
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server
from grpo_plugin.session import Session


def before_axolotl(words: list[str]) -> None:
    """Prepare the run that `axolotl WORDS` asks for.

    Returns at once for anything but a local `train` of one of our recipes. For that it returns in a forked child,
    which goes on as Axolotl; in the process the user waits for it exits with the run's code. A wrong recipe exits
    with 2 and one sentence.
    """
    keep_telemetry_off()
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
        if arguments.cloud is None and arguments.sweep is None:
            check_machine(recipe, arguments)
            _go(recipe, arguments)
    except GrpoPluginError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def keep_telemetry_off() -> None:
    """Axolotl's telemetry sends recipes, reward names included, unless told not to; a user's own choice stays."""
    if not {"AXOLOTL_DO_NOT_TRACK", "DO_NOT_TRACK"} & os.environ.keys():
        os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _go(recipe: Recipe, arguments: TrainArguments) -> None:
    _make_quickstart(recipe)
    launch = Launch(recipe, arguments)
    child = launch.fork()
    if child:
        sys.exit(launch.watch(child))


def _make_quickstart(recipe: Recipe) -> None:
    """The quickstart's model is made before anything wants to load it; torch stays out of this process."""
    if recipe.quickstart is None:
        return
    from grpo_plugin.quickstart import is_ready

    if not is_ready(recipe.values["base_model"], recipe.quickstart):
        command = [sys.executable, "-m", "grpo_plugin.quickstart", recipe.values["axolotl_config_path"]]
        if subprocess.call(command) != 0:
            sys.exit(1)


class Launch:
    """One local run: its private folder, its server, its debug log."""

    def __init__(self, recipe: Recipe, arguments: TrainArguments) -> None:
        self.recipe = recipe
        self.plan = self._plan_server(arguments)
        self.session = Session(Path(tempfile.mkdtemp(prefix="grpo-")))
        self.server_dir = self.session.folder / "vllm"
        self.server: Server | None = None

    def _plan_server(self, arguments: TrainArguments) -> ServerPlan | None:
        rollout = self.recipe.rollout
        if rollout is None:
            return None
        plan = plan_server(
            self.recipe.values,
            rollout,
            os.environ,
            num_processes=_processes_here(arguments),
            uses_vllm=self.recipe.uses_vllm,
            serves_here=arguments.is_first,
        )
        return plan if self.recipe.serves and arguments.is_first else None

    def fork(self) -> int:
        """0 in the process that goes on as Axolotl, which finds what it needs to know in its environment."""
        os.environ[session.FOLDER] = str(self.session.folder)
        os.environ[session.LAUNCHER] = str(os.getpid())
        if self.plan:
            os.environ[session.SERVER] = str(self.server_dir)
            if self.plan.split.trainer:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.plan.split.trainer)
                os.environ[session.GPUS] = ",".join(self.plan.split.trainer + self.plan.split.server)
        os.environ[session.CONSOLE] = "0"
        return fork(_open_debug_log(self.recipe))

    def watch(self, child: int) -> int:
        """Start the server beside the child, wait for both, and say why if the run failed in silence."""
        supervisor = Supervisor(child, on_end=self._stop_server, on_poll=lambda: self._mind_server(supervisor))
        with self._reported(supervisor):
            if self.plan:
                self.server_dir.mkdir(mode=0o700)
                self.server = self.plan.launch(self.server_dir, self.recipe.output_dir / "vllm.log")
        code = supervisor.wait()
        if code and not supervisor.signal and not self.session.failure_reported:
            self._explain(code)
        shutil.rmtree(self.session.folder, ignore_errors=True)
        return code

    def _mind_server(self, supervisor: Supervisor) -> None:
        """A server that ends before the trainer has taken it over ends the run now, not after the model is loaded."""
        if self.server and not self.session.server_adopted and not self.server.alive():
            server, self.server = self.server, None
            with self._reported(supervisor):
                server.wait_ready(0.0)

    @contextmanager
    def _reported(self, supervisor: Supervisor) -> Iterator[None]:
        """An error here is told at once and ends the run."""
        try:
            yield
        except GrpoPluginError as error:
            print(f"error: {error}", file=sys.stderr)
            self.session.report_failure()
            supervisor.stop()

    def _stop_server(self) -> None:
        if self.server:
            self.server.stop()

    def _explain(self, code: int) -> None:
        log = self.recipe.output_dir / "debug.log"
        print(f"error: training ended with exit code {code}; the end of {log}:\n{tail(log)}", file=sys.stderr)


def _processes_here(arguments: TrainArguments) -> int | None:
    if arguments.num_processes is None:
        return None
    return arguments.num_processes // max(1, arguments.num_machines)


def _open_debug_log(recipe: Recipe) -> int:
    """Open output_dir/debug.log for library noise; a run that resumes appends to it, as Axolotl does."""
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    resumes = recipe.values.get("resume_from_checkpoint") or recipe.values.get("auto_resume_from_checkpoints")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if resumes else os.O_TRUNC)
    return os.open(recipe.output_dir / "debug.log", flags, 0o644)

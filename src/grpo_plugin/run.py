"""One training process: what its plugins share, from the recipe to the report."""

import atexit
import io
import os
import signal
import sys
from functools import cached_property
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from grpo_plugin import session
from grpo_plugin.compat import axolotl_log, axolotl_train
from grpo_plugin.console.curve import draw
from grpo_plugin.console.examples import examples
from grpo_plugin.console.failure import report_failure
from grpo_plugin.console.final_report import Report
from grpo_plugin.console.redirect import redirect
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.launcher.launch import keep_telemetry_off
from grpo_plugin.launcher.supervisor import end_with_parent
from grpo_plugin.recipe.recipe import Recipe, check
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.scoring import RewardSet
from grpo_plugin.scoring import load as load_rewards
from grpo_plugin.session import Session
from grpo_plugin.validation.evaluation import Evaluation
from grpo_plugin.validation.evaluation_log import EvaluationLog

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import ProcessorMixin

    from grpo_plugin.prompts import PromptData
    from grpo_plugin.rollout.engine import RolloutEngine
    from grpo_plugin.rollout.server.process import Server
    from grpo_plugin.rollout.server.server_plan import ServerPlan


class Run:
    """Made by the first of our plugins to be registered; `Run.current()` gives it to all who come later."""

    _current: ClassVar["Run | None"] = None

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.is_main = int(os.environ.get("RANK", 0)) == 0
        self.session = Session.current()
        self.screen = Screen(sys.stdout)
        self.watch = Stopwatch()
        self.rewards: RewardSet | None = None
        self.prompts: PromptData | None = None
        self.processor: ProcessorMixin | None = None  # of a model that is shown images
        self.engine: RolloutEngine | None = None
        self._plan: ServerPlan | None = None
        self._server: Server | None = None
        self._finished = False

    @classmethod
    def begin(cls, cfg: Any) -> "Run":
        """The run of this process; the first call checks the recipe and, to train, takes over screen and signals.

        Raises:
            RecipeError: for the first mistake in the recipe.
        """
        if cls._current is None:
            keep_telemetry_off()
            console = _take_screen(Path(cfg.get("output_dir") or "./model-out")) if is_training() else None
            cls._current = cls(check(cfg.to_dict() if hasattr(cfg, "to_dict") else cfg))
            if console:
                cls._current.take_over(console)
        return cls._current

    @classmethod
    def current(cls) -> "Run":
        if cls._current is None:
            raise RuntimeError("no run has begun: none of the grpo_plugin plugins was registered")
        return cls._current

    def take_over(self, console: TextIO) -> None:
        """Train: the screen shows this run, and its end is ours to arrange."""
        self.screen = Screen(console if self.is_main else io.StringIO())
        self.screen.fact("recipe", f"{self.recipe.values['axolotl_config_path']} → {self.recipe.output_dir}")
        axolotl_train.apply()
        if self.session:
            end_with_parent()
            if self.is_main:
                atexit.register(self.session.remove_if_orphaned)
        self.mind_signals()

    def mind_signals(self) -> None:
        """End on Ctrl-C and SIGTERM with exit code 128 + signal; Axolotl's own handler would exit with 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        self.screen.close()
        self.screen.note(f"stopped by {signal.Signals(number).name}; {self._how_to_resume()}")
        raise SystemExit(128 + number)

    def _how_to_resume(self) -> str:
        checkpoints = sorted(self.recipe.output_dir.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
        if not checkpoints:
            return "no checkpoint was saved yet (save_steps)."
        return f"the last checkpoint is {checkpoints[-1]}; go on from it with --auto-resume-from-checkpoints."

    def load_rewards(self) -> None:
        """Load the reward functions before anything heavy is.

        Raises:
            RewardError: when one cannot be loaded.
        """
        if self.rewards is None and self.recipe.rewards is not None:
            self.rewards = load_rewards(self.recipe.rewards, self.recipe.folder)
            for note in self.rewards.notes():
                self.screen.fact("rewards", note)

    def load_prompts(self, cfg: Any) -> "PromptData":
        """Load, word and check the data, and hold the rewards' columns against it.

        Raises:
            DataError, RecipeError, RewardError: in one sentence, with row numbers.
        """
        from grpo_plugin.prompts.of_run import load_for

        self.prompts, self.processor = load_for(self.recipe, cfg)
        for note in self.prompts.notes:
            self.screen.note(note)
        if self.rewards is not None:
            self.rewards.check_columns(self.prompts.columns)
        return self.prompts

    def record(self, evaluation: Evaluation) -> None:
        """Keep an evaluation and show it."""
        if not self.is_main:
            return
        self.evaluation_log.write(evaluation)
        accuracy = evaluation.overall
        parts = [("sampled", accuracy.sampled), ("greedy", accuracy.greedy)]
        parts += [(f"pass@{k}", chance) for k, chance in accuracy.pass_at.items()]
        figures = ", ".join(f"{name} {value:.3f}" for name, value in parts if value is not None)
        self.screen.fact("held-out", f"after step {evaluation.step}: {evaluation.metric} {figures}")

    @property
    def validates(self) -> bool:
        return self.recipe.validation is not None and self.prompts is not None and self.prompts.validation is not None

    @cached_property
    def evaluation_log(self) -> EvaluationLog:
        return EvaluationLog(self.recipe.output_dir / "evaluations.jsonl")

    @cached_property
    def generation_log(self) -> GenerationLog:
        return GenerationLog(self.recipe.output_dir / "generations")

    def start_server(self) -> None:
        """On the main process: take the server that the launcher has started, or start one; returns at once.

        Raises:
            RecipeError: when GPUs, processes and recipe do not fit.
        """
        from grpo_plugin.rollout.server.endpoint import make_run_dir

        if self._plan is not None or self.recipe.rollout is None:
            return
        self._plan = self._plan_server()
        if not (self.is_main and self.recipe.serves):
            return
        self._server = self._adopt_server(self._plan)
        if self._server is None:
            self._server = self._plan.launch(make_run_dir(), self.recipe.output_dir / "vllm.log")
        self.screen.fact("vLLM", f"starting, log in {self.recipe.output_dir / 'vllm.log'}")

    def _adopt_server(self, plan: "ServerPlan") -> "Server | None":
        """The launcher's server, if it is what the recipe asks for now that Axolotl has read all its overrides."""
        from grpo_plugin.rollout.server.process import Server

        if not (self.session and self.session.server_dir):
            return None
        server = Server.adopt(self.session.server_dir)
        self.session.adopt_server()
        # On TCP each command has a port and a key of its own, so that there is nothing to compare.
        if plan.rollout.host or server.matches(plan.command(server.run_dir)):
            return server
        self.screen.note("the command line changes how vLLM must run; starting it again")
        server.stop()
        return None

    def _plan_server(self) -> "ServerPlan":
        from grpo_plugin.rollout.server.server_plan import plan_server

        assert self.recipe.rollout is not None
        environ = dict(os.environ)
        if session.GPUS in environ:  # the launcher has split them; the server's are those this process cannot see
            environ["CUDA_VISIBLE_DEVICES"] = environ[session.GPUS]
        plan = plan_server(
            self.recipe.values,
            self.recipe.rollout,
            environ,
            num_processes=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
            uses_vllm=self.recipe.uses_vllm,
            serves_here=int(os.environ.get("GROUP_RANK", 0)) == 0,
        )
        if plan.split.trainer:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(plan.split.trainer)
        return plan

    def finish(self) -> None:
        """The run has ended well and the model is saved: draw the curve and report; idempotent."""
        if self._finished or not is_training():
            return
        self._finished = True
        if self.rewards is not None:
            self.rewards.close()
        if self.is_main:
            self.report().show(self.screen)

    def draw_curve(self, log_history: list[dict[str, Any]]) -> None:
        if self.is_main:
            draw(log_history, self.evaluations, self.recipe.output_dir / "curve.png", self.recipe.name)

    @property
    def evaluations(self) -> list[Evaluation]:
        """This run's own; an earlier run without `validation:` may have left others."""
        return self.evaluation_log.read() if self.validates else []

    def report(self) -> Report:
        """What the screen shows at the end."""
        out, path = self.recipe.output_dir, self.recipe.values["axolotl_config_path"]
        policy = "--lora-model-dir" if self.recipe.values.get("adapter") else "--base-model"
        places = {
            "model": out,
            "curve": out / "curve.png",
            "generations": out / "generations",
            "logs": out / "debug.log",
            "vLLM's log": out / "vllm.log",
        }
        return Report(
            evaluations=self.evaluations,
            examples=examples(self.generation_log.folder) if self.validates else [],
            seconds=self.watch.totals(),
            elapsed=self.watch.elapsed(),
            places={label: str(place) for label, place in places.items() if place.exists()},
            commands={
                "chat": f"axolotl inference {path} {policy}={out} --chat",
                "serve": f"axolotl grpo serve {path} --model={out} --host=127.0.0.1",
            },
        )

    def make_engine(self, accelerator: "Accelerator") -> "RolloutEngine | None":
        """The rollout engine of this run; None when Hugging Face generates."""
        from grpo_plugin.rollout.engine import RolloutEngine
        from grpo_plugin.rollout.sync.transport import make_updater

        rollout, plan = self.recipe.rollout, self._plan
        if rollout is None or plan is None or not self.recipe.uses_vllm:
            return None
        self.engine = RolloutEngine(
            accelerator,
            rollout,
            self._host(),
            lambda host: make_updater(plan.sync, host, accelerator, rollout),
            note=self.screen.note,
        )
        atexit.register(self.engine.close)
        return self.engine

    def _host(self) -> Any:
        from grpo_plugin.rollout.server.handle import Host

        rollout, plan = self.recipe.rollout, self._plan
        assert rollout is not None and plan is not None
        if not self.is_main:
            return None
        if rollout.url:
            return Host.external(rollout.url, os.environ.get("GRPO_ROLLOUT_KEY"), rollout.request_timeout)
        assert self._server is not None
        log = self.recipe.output_dir / "vllm.log"
        return Host.of(self._server, lambda folder: plan.launch(folder, log), rollout.request_timeout)

    def await_engine(self, engine: "RolloutEngine") -> None:
        with self.screen.wait("waiting for vLLM"):
            engine.start()
        self.screen.fact("vLLM", f"ready {self.watch.elapsed():.0f} s after the recipe was read")


class _Reporter:
    """sys.excepthook: one sentence for the user, the traceback for debug.log."""

    def __init__(self, console: TextIO, output_dir: Path) -> None:
        self.console = console
        self.output_dir = output_dir

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        run, current = Run._current, Session.current()
        if run is not None:
            run.screen.close()
        if current is None or not current.failure_reported:
            report_failure(self.console, error, self.output_dir / "debug.log")
        if current is not None:
            current.report_failure()


def is_training() -> bool:
    """Whether this process trains: Axolotl registers plugins for inference, merging and preprocessing too."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith("axolotl.cli."):
        return spec.name == "axolotl.cli.train"
    return Path(sys.argv[0]).name != "axolotl" or "train" in sys.argv[1:2]


def _take_screen(output_dir: Path) -> TextIO:
    """The user's screen; what libraries write to stdout and stderr goes to debug.log, and so do tracebacks."""
    current = Session.current()
    console = current.take_console() if current else None
    if console is None:
        console = redirect(output_dir).console
    axolotl_log.append(output_dir)
    sys.excepthook = _Reporter(console, output_dir)
    return console

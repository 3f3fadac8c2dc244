"""One training process: what its plugins and its trainer share."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from grpo_plugin import session
from grpo_plugin.compat.axolotl_train import is_training
from grpo_plugin.console import curve, final_report, held_out, training_process
from grpo_plugin.console.examples import Example, examples
from grpo_plugin.console.model_card import ModelCard, installed_versions
from grpo_plugin.console.screen import Screen
from grpo_plugin.console.timing import Stopwatch
from grpo_plugin.environments.loading import Environments
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.batch_arithmetic import batch_of_values
from grpo_plugin.recipe.checkpoint_layout import layout_of
from grpo_plugin.recipe.checkpoints import how_to_resume
from grpo_plugin.rollout.generation_log import GenerationLog
from grpo_plugin.rollout.run_server import RunServer
from grpo_plugin.scoring import RewardSet, load
from grpo_plugin.scoring.held_out import load_own
from grpo_plugin.session import Session
from grpo_plugin.validation.accuracy import Evaluation
from grpo_plugin.validation.evaluation_log import EvaluationLog

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import ProcessorMixin

    from grpo_plugin.prompts import PromptData
    from grpo_plugin.rollout.engine import RolloutEngine


class Run:
    """Made by the first of our plugins to be registered; `Run.current()` returns it from then on.

    Attributes:
        is_main: whether this is rank 0, which alone shows, writes and holds the vLLM server.
        session: None for a run that the `axolotl` command did not start.
        watch: counts the seconds of each part of a step.
        step: the optimizer step in hand, from 1; 0 before the first.
        rewards, prompts: None until loaded.
        environments: None until loaded, and where the recipe names none.
        own_rewards: of the sets of held-out prompts that have their own, by name.
        processor: of a model that takes images, else None.
    """

    _current: ClassVar["Run | None"] = None

    def __init__(self, recipe: Recipe, screen: Screen) -> None:
        self.recipe = recipe
        self.is_main = session.is_main()
        self.session = Session.current()
        self.screen = screen
        self._mark = self.session.trainer() if self.session and is_training() else None
        self.watch = Stopwatch(on_section=self._say_where)
        self.step = 0
        self.generation_log = GenerationLog(recipe.output_dir / "generations")
        self.validation_log = GenerationLog(recipe.output_dir / "validation")
        self.evaluation_log = EvaluationLog(recipe.output_dir / "evaluations.jsonl")
        self.environments: Environments | None = None
        self.rewards: RewardSet | None = None
        self.own_rewards: dict[str, RewardSet] = {}
        self.prompts: PromptData | None = None
        self.processor: ProcessorMixin | None = None
        self._server: RunServer | None = None
        self._finished = False

    @classmethod
    def begin(cls, cfg: Any) -> "Run":
        """The run of this process; the first call checks the recipe and, to train, takes the screen.

        Raises:
            RecipeError: for the first mistake in the recipe.
        """
        if cls._current is None:
            cls._current = cls(*training_process.begin(cfg))
        return cls._current

    @classmethod
    def current(cls) -> "Run":
        if cls._current is None:
            raise RuntimeError("no run has begun: none of the grpo_plugin plugins was registered")
        return cls._current

    def load_rewards(self) -> None:
        """Load environments and reward functions, once; a RecipeError or RewardError says which cannot be loaded."""
        if self.rewards is not None:
            return
        if self.recipe.environments is not None:
            self.environments = Environments.load(self.recipe.environments, self.recipe.folder)
        of_environments = () if self.environments is None else self.environments.rewards
        if self.recipe.rewards is not None or self.recipe.environments is not None:
            self.rewards = load(
                self.recipe.rewards, self.recipe.folder, {own.name: own.function for own in of_environments}
            )
            self.own_rewards = load_own(self.recipe.held_out, self.recipe.rewards, self.recipe.folder)
            for note in self.rewards.notes():
                self.screen.fact("rewards", note)

    def load_prompts(self, cfg: Any) -> "PromptData":
        """Load and check the prompts, and that they have the columns that the rewards read.

        Raises:
            DataError, RecipeError, RewardError: in one sentence, with row numbers.
        """
        from grpo_plugin.prompts.recipe_prompts import load_recipe_prompts

        tools = None if self.environments is None else self.environments.longest_schemas
        rows = batch_of_values(cfg, int(os.environ.get("WORLD_SIZE", 1))).prompts_per_rollout
        self.prompts, self.processor = load_recipe_prompts(self.recipe, cfg, tools=tools, empty_rows=rows)
        for note in self.prompts.notes:
            self.screen.note(note)
        if self.rewards is not None:
            self.rewards.check_columns(self.prompts.columns)
        for name, rows in self.prompts.validation.items():
            rewards = self.own_rewards.get(name, self.rewards)
            if rewards is not None and name in self.recipe.held_out:
                rewards.check_columns(rows.column_names)
        return self.prompts

    def start_server(self) -> None:
        """Leave this process the GPUs that train and, on the main process, start or adopt the vLLM server; once.

        Raises:
            RecipeError: GPUs, processes and recipe do not fit.
            RolloutError: the server cannot be started.
        """
        if self._server is not None or self.recipe.rollout is None:
            return
        self._server = RunServer(self.recipe, session.environ_before_split(), self.screen.note)
        if gpus := self._server.plan.split.trainer:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        if self.is_main and self.recipe.serves:
            if self.session and self.session.server_dir:
                self._server.adopt(self.session.server_dir, self.session.report_server_adopted)
            self._server.launch()
            self.screen.fact("vLLM", f"starting, log in {self._server.log}")

    def make_engine(self, accelerator: "Accelerator") -> "RolloutEngine | None":
        """The rollout engine of this rank; None when Hugging Face generates."""
        return None if self._server is None else self._server.make_engine(accelerator, is_main=self.is_main)

    @property
    def serves_in_float32(self) -> bool:
        """Whether vLLM computes in float32, as far as is known here."""
        return self._server is not None and self._server.plan.in_float32

    def await_engine(self, engine: "RolloutEngine") -> None:
        """Wait until vLLM is ready; a RolloutError says why it is not."""
        with self.screen.wait("waiting for vLLM"):
            engine.start()
        self.screen.fact("vLLM", f"ready after {self.watch.elapsed():.0f} s")

    @property
    def validates(self) -> bool:
        """Whether there are a `validation:` block and held-out prompts."""
        return self.recipe.validation is not None and self.prompts is not None and bool(self.prompts.validation)

    @property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations of this run."""
        return self.evaluation_log.read() if self.validates else []

    def keep_until(self, step: int) -> None:
        """On the main process: remove from the logs what an earlier run left after `step`, where this one begins."""
        if self.is_main:
            for log in (self.generation_log, self.validation_log, self.evaluation_log):
                log.keep_until(step)

    def record(self, evaluations: Sequence[Evaluation]) -> None:
        """On the main process: write the evaluations of a step to the log and show them."""
        if self.is_main:
            self.evaluation_log.write(evaluations)
            held_out.show(self.screen, evaluations, self.examples())

    def examples(self) -> list[Example]:
        """The first `validation.show` prompts of the first held-out set, with their answers before training and now."""
        if self.recipe.validation is None or not self.recipe.held_out:
            return []
        return examples(self.validation_log.folder, self.recipe.validation.show, next(iter(self.recipe.held_out)))

    def draw_curve(self, log_history: list[dict[str, Any]]) -> None:
        """On the main process: write curve.png from transformers' `state.log_history` and the evaluations."""
        if self.is_main:
            curve.draw(log_history, self.evaluations, self.recipe.output_dir / "curve.png", self.recipe.name)

    def write_model_card(self, step: int) -> None:
        """Write output_dir/README.md for the model after `step` optimizer steps."""
        out = self.recipe.output_dir
        card = ModelCard(self.recipe, out.name, step, self.evaluations, installed_versions())
        out.mkdir(parents=True, exist_ok=True)
        (out / "README.md").write_text(card.text(), encoding="utf-8")

    def show_stop(self, name: str) -> None:
        """A checkpoint was saved on behalf of the signal `name`, and the run ends."""
        self.screen.close()
        self.screen.note(f"stopped by {name}; {how_to_resume(self.recipe.values, self.recipe.output_dir)}")

    def _write_report(self) -> None:
        """Write report.html; whatever fails there is a note, for the model is saved."""
        from grpo_plugin.console.report.page import write_report

        out = self.recipe.output_dir
        try:
            write_report([out], out / "report.html")
        except Exception as error:
            self.screen.note(
                f"report.html was not written ({type(error).__name__}: {error}); axolotl grpo report {out}"
            )

    def mind_signals(self) -> None:
        """Handle Ctrl-C and SIGTERM again, after Axolotl has set its own handler."""
        training_process.end_on_signals(self.screen, self.recipe)

    def _say_where(self, section: str | None) -> None:
        """Let the launcher know where this process is, which may end without a word."""
        if self._mark is None or self.step == 0:
            return
        phase = final_report.SECTIONS.get(section, section) if section else "between its sections"
        if section == "score" and self.rewards is not None:
            here = [name for name, place in self.rewards.places().items() if place == "trainer"]
            phase += f" in this process: {', '.join(here)}" if here else ""
        self._mark.write(f"in step {self.step} ({phase})")

    def check_model(self) -> None:
        """Look whether the end of training left a model; a RecipeError where the recipe's keys let it save none."""
        out = self.recipe.output_dir
        if is_training() and self.is_main and layout_of(out) == "none":
            raise RecipeError(
                f"output_dir: training ended and left no weights in {out}; with fsdp_config, remove its "
                "final_state_dict_type or set it to FULL_STATE_DICT."
            )

    def finish(self) -> None:
        """The model is saved: end the reward workers and show the final report; once."""
        if self._finished or not is_training():
            return
        self._finished = True
        if self._mark is not None:
            self._mark.remove()
        for rewards in (self.rewards, *self.own_rewards.values()):
            if rewards is not None:
                rewards.close()
        if self.environments is not None:
            self.environments.close()
        if self.is_main:
            self._write_report()
            final_report.of_run(self.recipe, self.evaluations, self.watch).show(self.screen)

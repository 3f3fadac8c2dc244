"""The upper half of the trainer: what an optimizer step is made of, with our algorithms and logs in place of TRL's."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from grpo_plugin.algorithms import advantages
from grpo_plugin.algorithms.settings import Algorithm, biased_sampling, of_recipe
from grpo_plugin.console.screen_callback import ScreenCallback
from grpo_plugin.run import Run
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.trainer import dealing
from grpo_plugin.trainer.canary import check_gap, probe
from grpo_plugin.trainer.completing import CompletingTrainer
from grpo_plugin.trainer.drawing import Drawing
from grpo_plugin.trainer.feed import Clock
from grpo_plugin.trainer.observe import Observer
from grpo_plugin.trainer.rollouts import Rollouts
from grpo_plugin.trainer.sample import Sample, none_if_nan
from grpo_plugin.trainer.state import load, save
from grpo_plugin.trainer.tally import Tally
from grpo_plugin.trainer.update import Pass, Update, dealt
from grpo_plugin.trainer.validate import Validator
from grpo_plugin.validation.validation_callback import ValidationCallback

T = TypeVar("T")


class PolicyTrainer(CompletingTrainer):
    """Differs from TRL's trainer in what an optimizer step is made of.

    The data loader is a clock: each tick is one gradient accumulation step. When a batch has been used up, prompts are
    taken from the feed, completed, scored and turned into lessons (`Rollouts`, `Drawing`, `Update`); ticks then run
    the passes that `dealt` gave this rank. Axolotl's optimizers, schedulers, adapters, checkpoints and callbacks work
    as they do without us.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tally = Tally()
        self._ticks: deque[list[Pass]] = deque()
        self._plan_batches()
        self.validator = Validator(self) if self.run_.validates else None
        self._change_callbacks()

    def _plan_batches(self) -> None:
        """A batch of completions is at least one optimizer step, else as many as `generation_batch_size` holds."""
        args, processes = self.args, self.accelerator.num_processes
        per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * processes
        self._per_step = per_step
        self._steps_per_batch = max(args.generation_batch_size, per_step) // per_step
        prompts = max(args.generation_batch_size, per_step) // self.num_generations
        self.algorithm: Algorithm = of_recipe(self.run_.recipe.algorithm, self.run_.recipe.trl)
        self.drawing = Drawing(self, self.feed)
        self.observer = Observer(self)
        self.rollouts = Rollouts(
            self.feed,
            self.observer.watched(self.drawing.samples),
            prompts=prompts,
            group_size=self.num_generations,
            multiple=processes // math.gcd(processes, self.num_generations),
            chosen=self.algorithm.filter,
            tolerance=self.algorithm.config.tolerance,
            keep=self._remember_sampler,
        )
        self.update = Update(self, self.algorithm, differs=self._sampler_differs())
        if warning := biased_sampling(self.run_.recipe.trl):
            self.run_.screen.note(warning)

    def _sampler_differs(self) -> bool:
        """Whether completions may come from another policy than the one they train."""
        if self.algorithm.filter is not None or self.looks_ahead:
            return True
        if self.engine is None:
            return False
        half = next(self.model.parameters()).dtype != torch.float32 or self.args.bf16 or self.args.fp16
        return bool(half)

    def _remember_sampler(self, samples: list[Sample]) -> None:
        """Surplus that Hugging Face drew is trained by a later policy: what this one thought of it is kept."""
        if self.engine is not None or not samples:
            return
        for index, logps in self.update.values(self.model, samples).items():
            samples[index].sampler_logps = logps.tolist()

    def _change_callbacks(self) -> None:
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)
        self.add_callback(SignalCallback(self.run_))
        if self.validator is not None and self.run_.recipe.validation is not None:
            self.add_callback(ValidationCallback(self.run_.recipe.validation, self.validator))
        self.add_callback(ScreenCallback(self.run_.screen))  # last: the wait for vLLM is no part of its ETA

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL trains; vLLM ends with the last step, so that its GPU is free while the model is saved."""
        try:
            result = super().train(*args, **kwargs)
            self.run_.draw_curve(self.state.log_history)
            return result
        finally:
            if self.engine is not None:
                self.engine.close()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As many ticks as an epoch has gradient accumulation steps; where there is no end, as many as are wanted."""
        per_batch = self._steps_per_batch * self.num_iterations * self.args.gradient_accumulation_steps
        if hasattr(self.train_dataset, "__len__"):
            ticks = max(1, len(self.train_dataset) // self.rollouts.prompts) * per_batch
        else:
            ticks = self.args.max_steps * self.args.gradient_accumulation_steps
        return DataLoader(Clock(ticks), batch_size=1, collate_fn=_nothing)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One tick: the forward and backward passes of one gradient accumulation step."""
        model.train()
        with self.watch("train"):
            if not self._ticks:
                self._ticks.extend(self._next_batch())
            loss = torch.zeros((), device=self.args.device)
            passes = self._ticks.popleft()
            for index, batch in enumerate(passes):
                with nullcontext() if index == len(passes) - 1 else self._without_sharing(model):
                    loss += Trainer.training_step(self, model, batch)  # type: ignore[arg-type]
            if self.accelerator.gradient_state.sync_gradients:
                self.update.steer(self._per_step)
            return loss

    def _next_batch(self) -> list[list[Pass]]:
        samples = self.rollouts.next()
        self.feed.forget({sample.row for sample in samples} | self.rollouts.surplus_rows)
        if self.gap_unchecked:
            with self.watch("canary"):
                self.gap_unchecked = not check_gap(self, samples)
        self._look_ahead()
        needs_baselines = "baselines" in advantages.inputs(self.algorithm.preset.advantage)
        baselines = self.drawing.baselines(samples) if needs_baselines and samples else None
        reused = self._steps_per_batch * self.num_iterations > 1
        lessons = self.update.lessons(samples, baselines, reused)
        self.observer.record(lessons)
        return dealt(self, self.update, lessons, self._steps_per_batch) * self.num_iterations

    def _look_ahead(self) -> None:
        """Let the engine generate the next batch during this one's update, from the weights that the update starts at.

        The completions will be one batch old, so that they say nothing of the sync: a probe does.
        """
        steps = self._steps_per_batch * self.num_iterations
        if not self.looks_ahead or self.state.global_step + steps >= self.state.max_steps:
            return
        self.sync_policy()
        rows = self.rollouts.ahead()
        if self.gap_unchecked:
            with self.watch("canary"):
                self.gap_unchecked = not probe(self, rows)
        self.drawing.ask_ahead(rows)

    @contextmanager
    def _without_sharing(self, model: nn.Module) -> Iterator[None]:
        """A pass that is not the last of its step: gradients stay on this rank."""
        state = self.accelerator.gradient_state
        before = state.sync_gradients
        state._set_sync_gradients(False)
        shares = self.accelerator.distributed_type == DistributedType.DEEPSPEED or state.plugin_kwargs.get(
            "sync_each_batch"
        )
        try:
            with nullcontext() if shares else self.accelerator.no_sync(model):
                yield
        finally:
            state._set_sync_gradients(before)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs if isinstance(inputs, Pass) else super()._prepare_inputs(inputs)

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Ours for a pass; TRL's own for batches of its evaluation."""
        if isinstance(inputs, Pass):
            return self.update.loss(model, inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Every step is logged with the figures of the batch it trains on, also where that has several steps."""
        if "loss" in logs:
            seconds = {f"time/{name}": seconds for name, seconds in self.watch.step().items()}
            figures = {name: value for name, value in self.observer.figures().items() if not math.isnan(value)}
            logs = {**figures, **logs, **self.tally.drain(), **seconds}
        super().log(logs, *args, **kwargs)

    def deal(self, samples: list[Sample], ticks: int) -> list[dealing.Passes]:
        """This rank's passes over samples that every rank has."""
        return dealing.deal(
            [sample.tokens for sample in samples],
            rank=self.accelerator.process_index,
            ranks=self.accelerator.num_processes,
            ticks=ticks,
            micro=self.args.per_device_train_batch_size,
            budget=self.algorithm.config.tokens_per_micro_batch,
        )

    def share(self, work: Callable[[dealing.Passes], dict[int, T]], samples: list[Sample]) -> dict[int, T]:
        """Each rank works on its share of the samples; all get all results, by the sample's index."""
        (passes,) = self.deal(samples, ticks=1)
        return {index: value for part in gather_object([work(passes)]) for index, value in part.items()}

    def totals(self, functions: dict[str, Any], group_size: int) -> list[float | None]:
        """The total of each completion, over whole groups; None where no function gave a score."""
        scores = [[none_if_nan(score) for score in column] for column in functions.values()]
        if self.run_.rewards is not None:
            return self.run_.rewards.totals(scores, group_size)
        return totals(scores, self.reward_weights.tolist(), "sum", group_size)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate on the held-out prompts; the figures are logged and may be `metric_for_best_model`."""
        if self.validator is None:
            return super().evaluate(*args, **kwargs)
        metrics = self.validator(self.state.global_step).logs()
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.callback_handler.on_log(self.args, self.state, control, {**metrics, "step": self.state.global_step})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        parts: dict[str, Any] = {"rollouts": self.rollouts, "update": self.update, "observer": self.observer}
        shared = {name: part.state() for name, part in parts.items()}
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        save(folder, shared, self._ticks, self)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (found := load(Path(checkpoint), self)) is not None:
            shared, self._ticks = found
            self.rollouts.restore(shared["rollouts"])
            self.update.restore(shared["update"])
            self.observer.restore(shared["observer"])


class SignalCallback(TrainerCallback):
    """Axolotl installs its own Ctrl-C handler just before training; ours comes back here."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.run.mind_signals()


def _nothing(rows: list[None]) -> dict[str, Any]:
    return {}

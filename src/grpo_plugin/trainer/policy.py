"""The trainer: Axolotl's GRPO trainer, with our engine, algorithms and logs in the place of TRL's."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import DistributedType, gather_object
from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from grpo_plugin.algorithms import advantages
from grpo_plugin.compat.packed_attention import install
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.rollout.sampling import FORBIDDEN, Sampling
from grpo_plugin.run import Run
from grpo_plugin.scoring.aggregate import totals
from grpo_plugin.trainer import dealing, huggingface
from grpo_plugin.trainer.algorithm import Algorithm, biased_sampling, of_recipe
from grpo_plugin.trainer.canary import check_gap, probe
from grpo_plugin.trainer.drawing import Drawing
from grpo_plugin.trainer.feed import Clock, Feed
from grpo_plugin.trainer.forward import causal
from grpo_plugin.trainer.images import images_of
from grpo_plugin.trainer.observe import Observer
from grpo_plugin.trainer.rollouts import Rollouts
from grpo_plugin.trainer.sample import Sample
from grpo_plugin.trainer.state import load, save
from grpo_plugin.trainer.tally import Tally
from grpo_plugin.trainer.update import Pass, Update, dealt
from grpo_plugin.trainer.validate import Validator
from grpo_plugin.trainer.vision import Vision, has_tower
from grpo_plugin.validation.callbacks import ScreenCallback, ValidationCallback

T = TypeVar("T")


class PolicyTrainer(AxolotlGRPOTrainer):
    """Differs from TRL's trainer in what an optimizer step is made of.

    The data loader is a clock: each tick is one gradient accumulation step. When a batch has been used up, prompts are
    taken from the feed, completed, scored and turned into lessons (`Rollouts`, `Drawing`, `Update`); ticks then run
    the passes that `dealt` gave this rank. Axolotl's optimizers, schedulers, adapters, checkpoints and callbacks work
    as they do without us.
    """

    def __init__(self, model: Any, reward_funcs: Any = None, **kwargs: Any) -> None:
        self.run_ = Run.current()
        if self.run_.rewards is not None:
            reward_funcs = self.run_.rewards.trl_functions()
        if self.run_.processor is not None:
            kwargs["processing_class"] = self.run_.processor  # Axolotl hands the tokenizer, which is blind
        super().__init__(model, reward_funcs, **kwargs)
        self.engine: RolloutEngine | None = self.run_.make_engine(self.accelerator)
        self.finish_reasons: list[str] = []
        self.tally = Tally()
        self._synced_step: int | None = None
        self._gap_unchecked = False
        self._ticks: deque[list[Pass]] = deque()
        self._plan_batches()
        self.vision = self._make_vision()
        self.validator = Validator(self) if self.run_.validates else None
        for packable in (self.model, self.ref_model):
            if packable is not None and self.vision is None:
                install(causal(self.accelerator.unwrap_model(packable)))
        self._change_callbacks()

    def _plan_batches(self) -> None:
        """A batch of completions is at least one optimizer step, else as many as `generation_batch_size` holds."""
        args, processes = self.args, self.accelerator.num_processes
        per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * processes
        self._per_step = per_step
        self._steps_per_batch = max(args.generation_batch_size, per_step) // per_step
        prompts = max(args.generation_batch_size, per_step) // self.num_generations
        self.algorithm: Algorithm = of_recipe(self.run_.recipe.algorithm, self.run_.recipe.trl)
        self.feed = Feed(self.train_dataset, args.seed, shuffle=self.shuffle_dataset)
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

    def _make_vision(self) -> Vision | None:
        """How images are shown, if the model can see; it is kept from writing the tokens that stand for them."""
        model = self.accelerator.unwrap_model(self.model)
        if not has_tower(model):
            return None
        company = self.accelerator.num_processes > 1
        vision = Vision(model, self.run_.processor, lambda row: images_of(self.feed.row(row)), company=company)
        suppressed = self.generation_config.suppress_tokens or []  # by trl.generation_kwargs
        self.generation_config.suppress_tokens = [*suppressed, *vision.placeholders]
        return vision

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

    @property
    def looks_ahead(self) -> bool:
        """Whether the next batch is generated during the update."""
        rollout = self.run_.recipe.rollout
        return self.engine is not None and rollout is not None and rollout.lookahead > 0

    def _change_callbacks(self) -> None:
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)
        self.add_callback(SignalCallback(self.run_))
        if self.validator is not None and self.run_.recipe.validation is not None:
            self.add_callback(ValidationCallback(self.run_.recipe.validation, self.validator))
        self.add_callback(ScreenCallback(self.run_.screen))  # last: the wait for vLLM is no part of its ETA

    @property
    def watch(self) -> Any:
        return self.run_.watch

    @property
    def version(self) -> int:
        """How many times the policy was brought to the engine; the optimizer step where Hugging Face generates."""
        return self.engine.version if self.engine else self.state.global_step

    @property
    def drawn_version(self) -> int:
        """The version that drew the last completions; with lookahead it is behind."""
        return self.engine.drawn_version if self.engine else self.state.global_step

    # --- the loop ---------------------------------------------------------------------------------------------------

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
        if self._gap_unchecked:
            with self.watch("canary"):
                check_gap(self, samples)
            self._gap_unchecked = False
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
        if self._gap_unchecked:
            with self.watch("canary"):
                probe(self, rows)
            self._gap_unchecked = False
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
        if self.model.training and "reward" in self._metrics["train"]:
            seconds = {f"time/{name}": seconds for name, seconds in self.watch.step().items()}
            logs = {**logs, **self.tally.drain(), **seconds}
        super().log(logs, *args, **kwargs)

    # --- the engine -------------------------------------------------------------------------------------------------

    def sync_policy(self) -> None:
        """Bring the engine up to this optimizer step; does nothing if it has it already."""
        if self.engine is None or self._synced_step == self.state.global_step:
            return
        if self._synced_step is None:
            with self.watch("waiting for vLLM"):
                self.run_.await_engine(self.engine)
        with self.watch("sync"):
            self.engine.sync(self.model)
        self._synced_step = self.state.global_step
        self._gap_unchecked = True

    def tokenize(self, prompts: list[Any]) -> list[list[int]]:
        """Token ids of prompts (chat messages or text), exactly as in training."""
        return self._tokenize_prompts(prompts)[0]

    def text(self, token_ids: list[int]) -> str:
        """What a user reads of token ids."""
        return self.processing_class.decode(token_ids, skip_special_tokens=True)

    @property
    def sampling(self) -> Sampling:
        """How the engine draws completions: as the recipe says, and never a token that stands for an image."""
        forbidden = self.vision.placeholders if self.vision else []
        return replace(Sampling.from_args(self.args), logit_bias=dict.fromkeys(forbidden, FORBIDDEN))

    def sent(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        """Prompts as the engine takes them: it puts the tokens of images in by itself."""
        return self.vision.collapsed(prompt_ids) if self.vision else prompt_ids

    def complete(
        self, prompt_ids: list[list[int]], n: int, temperature: float, images: list[Any] | None = None
    ) -> list[list[tuple[list[int], str | None]]]:
        """`n` completions (token ids, finish reason) of each of this rank's prompts; temperature 0 is greedy."""
        if self.engine is None:
            return huggingface.complete(self, prompt_ids, n, temperature, images)
        sampling = at_temperature(self.sampling, temperature)
        groups = self.engine.complete(self.model, self.sent(prompt_ids), n, sampling, images)
        return [[(c.token_ids, c.finish_reason) for c in group] for group in groups]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: dict[str, Any]
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        if self.engine is None:
            with self.watch("generate"):
                ids, logps = super()._generate_single_turn(prompt_ids, images, multimodal_fields)
            self.finish_reasons = [huggingface.finish_reason(self, row) for row in ids]
            return ids, logps
        if not self.engine.is_ahead:
            self.sync_policy()
        with self.watch("generate"):
            n = self.num_generations if self.model.training else self.num_generations_eval
            completions = self.engine.generate(self.model, self.sent(prompt_ids), n, self.sampling, images)
        self.finish_reasons = [completion.finish_reason for completion in completions]
        return [c.token_ids for c in completions], [c.logps for c in completions]

    # --- what the rooms below ask of a trainer ------------------------------------------------------------------------

    @property
    def reference(self) -> nn.Module:
        """The reference model: one of its own, or the policy within `as_reference`."""
        return self.model if self.ref_model is None else self.ref_model

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """The policy without its adapter, or with the one it began from, where there is no model of its own for it."""
        core = self.accelerator.unwrap_model(self.model)
        if self.ref_model is not None or not hasattr(core, "peft_config"):
            yield
            return
        with use_adapter(core, adapter_name="ref" if "ref" in core.peft_config else None):
            yield

    def quiet_checkpointing(self) -> Any:
        """Without a gradient, recomputing activations only warns."""
        return disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs)

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

    # --- evaluation and checkpoints -----------------------------------------------------------------------------------

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
        shared = {"rollouts": self.rollouts.state(), "update": self.update.state()}
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        save(folder, shared, self._ticks, self)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (found := load(Path(checkpoint), self)) is not None:
            shared, self._ticks = found
            self.rollouts.restore(shared["rollouts"])
            self.update.restore(shared["update"])


class SignalCallback(TrainerCallback):
    """Axolotl installs its own Ctrl-C handler just before training; ours comes back here."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.run.mind_signals()


def at_temperature(sampling: Sampling, temperature: float) -> Sampling:
    """The same sampling at another temperature; greedy (0) is free of every truncation."""
    if temperature == 0.0:
        return replace(sampling, temperature=0.0, top_p=1.0, top_k=0, min_p=None)
    return replace(sampling, temperature=temperature)


def none_if_nan(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _nothing(rows: list[None]) -> dict[str, Any]:
    return {}

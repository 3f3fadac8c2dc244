"""One training step on one page: weights, rollouts, canary, training samples, micro-batches, loss, metrics.

Differs from TRL's GRPOTrainer in what an optimizer step is made of: generation, rewards, advantages and loss are ours.
TRL's and Axolotl's models, optimizers, schedulers, adapters, checkpoints and callbacks work as they do without us.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerControl
from transformers.trainer_utils import rotate_checkpoints

from grpo_plugin.console.tracker_callback import log_curve
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.checkpoints import UNFINISHED
from grpo_plugin.recipe.resuming import write_recipe
from grpo_plugin.trainer import checkpoint
from grpo_plugin.trainer.current_batch import CurrentBatch
from grpo_plugin.trainer.dynamic_sampler import RolloutBatch
from grpo_plugin.trainer.finite import check_gradients, check_loss, check_weights
from grpo_plugin.trainer.prompt_sampler import AccumulationSteps
from grpo_plugin.trainer.rollout_metrics import generations, rollout_metrics, share_without_advantage
from grpo_plugin.trainer.setup import TrainerSetup
from grpo_plugin.trainer.training_sample import TrainingSample


class PolicyTrainer(TrainerSetup):
    """Trains the policy.

    Its data loader only counts gradient accumulation steps: `training_step` runs the micro-batches of one, and when
    those of a rollout batch are used up, `_next_batch` makes the next ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch = CurrentBatch(self.sample_builder, self.batch_plan)
        self._step_loss = torch.zeros((), device=self.args.device)  # so far, on this rank
        self._unfinished: Path | None = None  # where a checkpoint is being written

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The forward and backward passes of one gradient accumulation step."""
        model.train()
        self.run_.step = self.state.global_step + 1
        with self.run_.watch("train"):
            if self.batch.is_used_up:
                self.batch.begin(self._next_batch())
            loss = torch.zeros((), device=self.args.device)
            micro_batches = self.batch.next_accumulation_step()
            for index, micro_batch in enumerate(micro_batches):
                with nullcontext() if index == len(micro_batches) - 1 else self._local_gradients(model):
                    loss += Trainer.training_step(self, model, micro_batch)  # type: ignore[arg-type]
            if self.accelerator.gradient_state.sync_gradients:
                self.kl_coef.update(self.metrics, self.batch_plan.per_step)
            return loss

    def _next_batch(self) -> list[TrainingSample]:
        """One rollout batch: from prompts to training samples, those of all ranks. Collective."""
        self.metrics.begin_batch()
        if not self.generator.backend.is_ahead:
            self.generator.backend.sync_weights(self.state.global_step)
        batch = self.dynamic_sampler.next_batch()
        if self.canary is not None:
            with self.run_.watch("canary"):
                self.canary.check(batch.rollouts)
        self._generate_ahead()
        baselines = self._greedy_baselines(batch) if self.sample_builder.needs_baselines else None
        samples = self.sample_builder.build(batch.rollouts, baselines)
        self._record(batch, samples)
        return samples

    def _generate_ahead(self) -> None:
        """Let vLLM generate the next batch during this one's update, with the weights that the update begins with.

        Those completions will be one batch old and cannot check this sync; a probe does.
        """
        last_step = self.state.global_step + self.batch_plan.steps_per_rollout
        if not self.looks_ahead or last_step >= self.state.max_steps:
            return
        assert self.server is not None and self.canary is not None
        self.server.sync_weights(self.state.global_step)
        rows = self.dynamic_sampler.peek()
        with self.run_.watch("canary"):
            self.canary.probe(self.prompt_sampler, rows)
        prompt_ids, images = self.rollout_sampler.tokenized(rows)
        self.server.prefetch(prompt_ids, self.num_generations, self.generator.sampling, images)

    def _greedy_baselines(self, batch: RolloutBatch) -> list[float]:
        """The reward of the greedy completion of each rollout's prompt (ReMax, arXiv 2310.10505)."""
        rows = [rollout.row for rollout in batch.rollouts[:: self.num_generations]]
        return [reward for reward in self.rollout_sampler.greedy_rewards(rows) for _ in range(self.num_generations)]

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss of a micro-batch; with the last of a step, the loss of all is looked at before its backward pass."""
        loss = self.loss(model, inputs)
        self._step_loss += loss.detach()
        if self.accelerator.gradient_state.sync_gradients:
            check_loss(self._step_loss, self.state.global_step + 1, self.accelerator)
            self._step_loss = torch.zeros_like(self._step_loss)
        return loss

    def _record(self, batch: RolloutBatch, samples: list[TrainingSample]) -> None:
        """Metrics of all that was generated for a batch, and its rows in the generation log."""
        for name, value in batch.metrics.items():
            self.metrics.add(name, value, of_batch=True)
        if self.kl_coef.value:
            self.metrics.add("kl_coef", self.kl_coef.value, of_batch=True)
        self.metrics.add("advantages/zero", share_without_advantage(samples), of_batch=True)
        functions, tolerance = self.rollout_sampler.rewards.names, self.algorithm.config.tolerance
        shown = batch.generated or batch.rollouts  # a batch that was left over from earlier ones generates nothing
        for name, value in rollout_metrics(shown, functions, self.num_generations, tolerance) if shown else ():
            self.metrics.add(name, value, of_batch=True)
        self.state.num_input_tokens_seen += sum(rollout.tokens for rollout in batch.generated)
        self.metrics.add("num_tokens", float(self.state.num_input_tokens_seen), of_batch=True)
        if batch.generated and self.accelerator.is_main_process:
            rows = generations(batch.generated, samples, functions, self.temperature, self._token_text())
            self.run_.generation_log.write(self.state.global_step + 1, rows)

    def validate(self, step: int) -> dict[str, float]:
        """Evaluate the policy on the held-out prompts, and log the figures at `step`. Collective."""
        assert self.validator is not None
        self.generator.backend.sync_weights(step)
        with self.run_.watch.whole("validation"):
            evaluations = self.validator(step)
        self.run_.record(evaluations)
        metrics = {name: value for evaluation in evaluations for name, value in evaluation.logs().items()}
        if self.best is not None:
            self.best.add(step, metrics)
        Trainer.log(self, {**metrics, "time/validation": self.run_.watch.take("validation")})
        return metrics

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate; the figures are logged.

        Raises:
            RecipeError: the recipe has no held-out prompts.
        """
        if self.validator is None:
            raise RecipeError(
                "eval_strategy: there is nothing to evaluate on; name held-out prompts in prompts.validation and add "
                "grpo_plugin.ValidationPlugin with a `validation:` block, or remove the key."
            )
        metrics = self.validate(self.state.global_step)
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the metrics and the seconds of each section to the log line of an optimizer step."""
        if "loss" in logs:
            seconds = {f"time/{name}": seconds for name, seconds in self.run_.watch.step().items()}
            logs = {**self.metrics.drain(), **logs, **seconds}
        super().log(logs, *args, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL trains; vLLM ends with the last step, so that its GPU is free while the model is saved."""
        try:
            result = super().train(*args, **kwargs)
            check_weights(self.model, self.state.global_step, self.accelerator)  # before Axolotl saves them
            self.run_.draw_curve(self.state.log_history)
            log_curve(self.args, self.state, self.run_.recipe.output_dir / "curve.png")
            return result
        finally:
            if self.server is not None:
                self.server.close()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As many empty items as an epoch has accumulation steps; for a stream, as the whole run has."""
        if hasattr(self.train_dataset, "__len__"):
            steps = self.batch_plan.accumulation_steps_per_epoch(len(self.train_dataset))
        else:
            steps = self.args.max_steps * self.batch_plan.accumulation
        return DataLoader(AccumulationSteps(steps), batch_size=1, collate_fn=_nothing)

    @contextmanager
    def _local_gradients(self, model: nn.Module) -> Iterator[None]:
        """For a micro-batch that is not the last of its accumulation step: do not average gradients over ranks."""
        state = self.accelerator.gradient_state
        before = state.sync_gradients
        state._set_sync_gradients(False)
        always = self.accelerator.distributed_type == DistributedType.DEEPSPEED or state.plugin_kwargs.get(
            "sync_each_batch"
        )
        try:
            with nullcontext() if always else self.accelerator.no_sync(model):
                yield
        finally:
            state._set_sync_gradients(before)

    def _prepare_inputs(self, inputs: Any) -> Any:
        """A micro-batch is moved to the device where it is used."""
        return inputs

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Ours in place of TRL's, which knows neither the algorithm nor the rewards."""
        if self.is_world_process_zero():
            self.run_.write_model_card(self.state.global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As transformers saves one, under another name until it is whole; older ones are removed after that only."""
        check_weights(model, self.state.global_step, self.accelerator)
        output_dir, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        self._unfinished = output_dir / UNFINISHED
        try:
            super()._save_checkpoint(model, trial)
            if self.accelerator.is_main_process:
                checkpoint.save(
                    self._unfinished / name, {name: part.state() for name, part in self._stateful().items()}
                )
                write_recipe(self.run_.recipe, self._unfinished / name)
        except Exception:
            checkpoint.clear_unfinished(output_dir)  # on a full disk it is in the way
            raise
        finally:
            self._unfinished = None
        checkpoint.publish(name, output_dir, self.accelerator)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(output_dir / name))
        if self.args.should_save:
            self._remove_old_checkpoints(output_dir)

    def _remove_old_checkpoints(self, output_dir: Path) -> None:
        """Keep `save_total_limit`; ValidationPlugin has added one for the best, which may not be there yet."""
        limit = self.args.save_total_limit
        best = None if self.best is None else output_dir / f"checkpoint-{self.best.step}"
        if limit and best is not None and not best.is_dir():
            limit, best = limit - 1, None
        rotate_checkpoints(str(output_dir), limit, None if best is None else str(best))

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers and Axolotl write a checkpoint."""
        return super()._get_output_dir(trial) if self._unfinished is None else str(self._unfinished)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Once the checkpoint has its name: it is read in the background."""
        if self._unfinished is None:
            super()._push_from_checkpoint(checkpoint_folder)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        if not self.args.fp16:  # whose scaler skips such a step by itself
            taken = self.accelerator.distributed_type == DistributedType.DEEPSPEED
            check_gradients(norm, self.state.global_step + 1, taken=taken)
        return norm

    def _load_optimizer_and_scheduler(self, checkpoint_folder: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint_folder)
        state = None if checkpoint_folder is None else checkpoint.load(Path(checkpoint_folder))
        if state is not None:
            for name, part in self._stateful().items():
                if name in state:  # "best" is not, where the recipe of the checkpoint named none
                    part.restore(state[name])

    def _stateful(self) -> dict[str, Any]:
        """The objects whose state a checkpoint keeps, by name; it is the same on every rank."""
        best = {} if self.best is None else {"best": self.best}
        return {
            "rollouts": self.dynamic_sampler,
            "batch": self.batch,
            "backend": self.generator.backend,
            "kl_coef": self.kl_coef,
            "metrics": self.metrics,
            **best,
        }


def _nothing(rows: list[None]) -> dict[str, Any]:
    return {}

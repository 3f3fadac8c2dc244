"""The trainer: Axolotl's GRPO trainer, with completions from our engine and every generation kept."""

from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
from torch import Tensor
from transformers import TrainerCallback, TrainerControl
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from grpo_plugin.rollout.canary import Gap, check, logp_gap
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.rollout.sampling import Sampling
from grpo_plugin.run import Run
from grpo_plugin.trainer import huggingface
from grpo_plugin.trainer.validate import Validator
from grpo_plugin.validation.callbacks import ScreenCallback, ValidationCallback
from grpo_plugin.validation.generation_log import Generations


class PolicyTrainer(AxolotlGRPOTrainer):
    """Differs from TRL's trainer in where completions come from (`_generate_single_turn`) and in what is kept.

    Axolotl's optimizers, schedulers, adapters, checkpoints and callbacks work as they do without us.
    """

    def __init__(self, model: Any, reward_funcs: Any = None, **kwargs: Any) -> None:
        self.run_ = Run.current()
        if self.run_.rewards is not None:
            reward_funcs = self.run_.rewards.trl_functions()
        super().__init__(model, reward_funcs, **kwargs)
        self.engine: RolloutEngine | None = self.run_.make_engine(self.accelerator)
        # Only TRL's importance-sampling correction still reads this; its own vLLM client is never built.
        self.use_vllm = self.engine is not None
        self._synced_step: int | None = None
        self._gap_unchecked = False
        self._finish_reasons: list[str] = []
        self.validator = Validator(self) if self.run_.validates else None
        self._change_callbacks()

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

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate on the held-out prompts; the figures are logged and may be `metric_for_best_model`."""
        if self.validator is None:
            return super().evaluate(*args, **kwargs)
        metrics = self.validator(self.state.global_step).logs()
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.callback_handler.on_log(self.args, self.state, control, {**metrics, "step": self.state.global_step})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    @property
    def watch(self) -> Any:
        return self.run_.watch

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

    @property
    def version(self) -> int:
        """How many times the policy was brought to the engine; the optimizer step where Hugging Face generates."""
        return self.engine.version if self.engine else self.state.global_step

    def tokenize(self, prompts: list[Any]) -> list[list[int]]:
        """Token ids of prompts (chat messages or text), exactly as in training."""
        return self._tokenize_prompts(prompts)[0]

    def complete(
        self, prompt_ids: list[list[int]], n: int, temperature: float
    ) -> list[list[tuple[list[int], str | None]]]:
        """`n` completions (token ids, finish reason) of each of this rank's prompts; temperature 0 is greedy."""
        if self.engine is None:
            return huggingface.complete(self, prompt_ids, n, temperature)
        sampling = at_temperature(Sampling.from_args(self.args), temperature)
        groups = self.engine.complete(self.model, prompt_ids, n, sampling, None)
        return [[(c.token_ids, c.finish_reason) for c in group] for group in groups]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: dict[str, Any]
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        if self.engine is None:
            with self.watch("generate"):
                ids, logps = super()._generate_single_turn(prompt_ids, images, multimodal_fields)
            self._finish_reasons = [huggingface.finish_reason(self, row) for row in ids]
            return ids, logps
        self.sync_policy()
        with self.watch("generate"):
            n = self.num_generations if self.model.training else self.num_generations_eval
            completions = self.engine.generate(self.model, prompt_ids, n, Sampling.from_args(self.args), images)
        self._finish_reasons = [completion.finish_reason for completion in completions]
        return [c.token_ids for c in completions], [c.logps for c in completions]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        if self._gap_unchecked and "sampling_per_token_logps" in batch:
            with self.watch("canary"):
                self._check_gap(batch)
        self._keep_generations(inputs)
        return batch

    def _calculate_rewards(self, *args: Any) -> Tensor:
        with self.watch("score"):
            return super()._calculate_rewards(*args)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        with self.watch("train"):
            return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self.model.training and "reward" in self._metrics["train"]:
            logs = {**logs, **{f"time/{name}": seconds for name, seconds in self.watch.step().items()}}
        super().log(logs, *args, **kwargs)

    def _check_gap(self, batch: dict[str, Tensor]) -> None:
        """Compare vLLM's log-probabilities of its own tokens with the trainer's; stop if they are too far apart."""
        rollout = self.run_.recipe.rollout
        assert rollout is not None
        mask = batch["completion_mask"]
        if "tool_mask" in batch:
            mask = mask * batch["tool_mask"]
        ours, rows = batch.get("old_per_token_logps"), slice(None)
        if ours is None:
            rows = slice(rollout.canary_samples)
            ours = self._logps(batch, rows)
        gap = self._over_ranks(logp_gap(ours, batch["sampling_per_token_logps"][rows], mask[rows]))
        if not gap.tokens:  # every completion is masked; the next batch will tell
            return
        self._metrics["train"]["rollout/logp_gap"].append(gap.mean)
        self._metrics["train"]["rollout/logp_gap_max"].append(gap.max)
        check(gap, rollout.max_logp_gap, self.version)
        self._gap_unchecked = False

    def _over_ranks(self, gap: Gap) -> Gap:
        mine = torch.tensor([[gap.mean * gap.tokens, gap.max, gap.tokens]], device=self.accelerator.device)
        every = self.accelerator.gather(mine)
        tokens = int(every[:, 2].sum())
        return Gap(mean=every[:, 0].sum().item() / max(tokens, 1), max=every[:, 1].max().item(), tokens=tokens)

    def _logps(self, batch: dict[str, Tensor], rows: slice) -> Tensor:
        """The trainer's log-probabilities (rows, T) of some completions, without gradient."""
        prompt_ids, completion_ids = batch["prompt_ids"][rows], batch["completion_ids"][rows]
        with torch.no_grad():
            logps, _, _ = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([prompt_ids, completion_ids], dim=1),
                torch.cat([batch["prompt_mask"][rows], batch["completion_mask"][rows]], dim=1),
                completion_ids.size(1),
                batch_size=self.args.per_device_train_batch_size,
            )
        return logps

    def _keep_generations(self, inputs: list[dict[str, Any]]) -> None:
        finish_reasons = gather_object(self._finish_reasons)
        answers = gather_object([row.get("answer") for row in inputs])
        if not self.accelerator.is_main_process:
            return
        logs = self._logs
        functions = {name: [none_if_nan(x) for x in logs["rewards"][name]] for name in self.reward_func_names}
        self.run_.generation_log.write(
            self.state.global_step + 1,
            Generations(
                prompts=list(logs["prompt"]),
                completions=list(logs["completion"]),
                rewards=self.totals(functions),
                functions=functions,
                finish_reasons=finish_reasons,
                temperature=self.temperature,
                policy_version=self.version,
                advantages=list(logs["advantages"]),
                answers=[None if answer is None else str(answer) for answer in answers],
            ),
        )

    def totals(self, functions: dict[str, list[float | None]]) -> list[float | None]:
        """The weighted total of each completion; None where no function gave a score."""
        weights = self.reward_weights.tolist()
        return [
            sum(w * x for w, x in zip(weights, row, strict=True) if x is not None)
            if any(x is not None for x in row)
            else None
            for row in zip(*functions.values(), strict=True)
        ]


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


def none_if_nan(value: float) -> float | None:
    return None if value != value else value

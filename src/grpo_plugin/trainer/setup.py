"""The parts of a training step, built once from model, data, recipe and TRL's arguments."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
from torch import Tensor, nn
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from grpo_plugin.algorithms.load_balance import router_of
from grpo_plugin.algorithms.settings import biased_sampling, of_recipe
from grpo_plugin.compat.packed_attention import install
from grpo_plugin.config.validation import ValidationConfig
from grpo_plugin.console.screen_callback import ScreenCallback
from grpo_plugin.console.step_log import StepLog
from grpo_plugin.console.tracker_callback import TrackerCallback
from grpo_plugin.environments.rendering import ChatRenderer
from grpo_plugin.recipe.batch_arithmetic import batch_of_arguments
from grpo_plugin.recipe.checkpoints import saves_checkpoints
from grpo_plugin.recipe.length_budget import sequence_limit
from grpo_plugin.recipe.resuming import check_steps_left
from grpo_plugin.rollout.client.sampling import FORBIDDEN, Sampling
from grpo_plugin.run import Run
from grpo_plugin.trainer.callbacks import BeginCallback, LastStepCallback
from grpo_plugin.trainer.canary import Canary
from grpo_plugin.trainer.checkpoint import clear_unfinished
from grpo_plugin.trainer.dynamic_sampler import DynamicSampler
from grpo_plugin.trainer.episodes import EpisodeSampler
from grpo_plugin.trainer.generator import Backend, Generator
from grpo_plugin.trainer.huggingface_backend import HuggingFaceBackend
from grpo_plugin.trainer.kl_coefficient import KlCoefficient
from grpo_plugin.trainer.liger import LigerLoss
from grpo_plugin.trainer.loss import PolicyLoss
from grpo_plugin.trainer.metrics import Metrics
from grpo_plugin.trainer.micro_batches import BatchSize
from grpo_plugin.trainer.policy import Policy, causal
from grpo_plugin.trainer.prompt_sampler import PromptSampler
from grpo_plugin.trainer.rollout import Rollout
from grpo_plugin.trainer.rollout_sampler import RolloutSampler
from grpo_plugin.trainer.sample_builder import SampleBuilder
from grpo_plugin.trainer.stop_callback import StopCallback
from grpo_plugin.trainer.terminators import terminators
from grpo_plugin.trainer.tokenization import PromptTokenizer, images_of
from grpo_plugin.trainer.validator import Validator, held_out_rows
from grpo_plugin.trainer.vision import Vision, has_tower
from grpo_plugin.trainer.vllm_backend import VllmBackend
from grpo_plugin.validation.best import BestSoFar
from grpo_plugin.validation.validation_callback import ValidationCallback

LAYOUT_PROMPTS, LAYOUT_TOKENS = 4, 256  # what is compared before the first step: prompts, and tokens of each


class TrainerSetup(AxolotlGRPOTrainer):
    """Axolotl's trainer with the parts of our training step as attributes; the step itself is in `trainer.py`.

    Attributes:
        batch_plan: completions, prompts and optimizer steps of a rollout batch, over all ranks.
        server: vLLM; None where Hugging Face generates.
        canary: None where there is no server.
        episodes: None where the recipe names neither environments nor tools.
        validator: None where the recipe validates nothing.
        best: the best validation so far; None where `validation.best` names no metric.
    """

    def __init__(self, model: Any, reward_funcs: Any = None, **kwargs: Any) -> None:
        self.run_ = Run.current()
        assert self.run_.rewards is not None
        if self.run_.processor is not None:
            kwargs["processing_class"] = self.run_.processor  # Axolotl gives the tokenizer, which takes no images
        super().__init__(model, [_named(name) for name in self.run_.rewards.names], **kwargs)
        recipe = self.run_.recipe
        self.algorithm = of_recipe(recipe.algorithm, recipe.trl)
        self.metrics, self.kl_coef = Metrics(), KlCoefficient(self.algorithm)
        self.prompt_sampler = PromptSampler(self.train_dataset, self.args.seed, shuffle=self.shuffle_dataset)
        self.batch_plan = batch_of_arguments(self.args, self.accelerator.num_processes)
        self.policy = self._make_policy()
        self.server = self._make_server()
        self.generator = self._make_generator(self.server or self._make_huggingface_backend())
        self.canary = self._make_canary()
        self.episodes = self._make_episodes()
        self.rollout_sampler = self._make_rollout_sampler()
        self.dynamic_sampler = self._make_dynamic_sampler()
        self.sample_builder = self._make_sample_builder()
        self.loss = self._make_loss()
        self.validator = self._make_validator()
        self.best = self._make_best()
        self._change_callbacks()
        if warning := biased_sampling(recipe.trl):
            self.run_.screen.note(warning)

    @property
    def looks_ahead(self) -> bool:
        """Whether the next batch is generated during the update of this one."""
        rollout = self.run_.recipe.rollout
        return self.server is not None and rollout is not None and rollout.lookahead > 0

    def _make_policy(self) -> Policy:
        vision = self._make_vision()
        for model in (self.model, self.ref_model):
            if model is not None and vision is None:
                install(causal(self.accelerator.unwrap_model(model)))
        router = router_of(causal(self.accelerator.unwrap_model(self.model))) if self.aux_loss_enabled else None
        return Policy(
            self.model,
            self.ref_model,
            self.accelerator,
            temperature=self.temperature,
            batch_size=BatchSize(self.args.per_device_train_batch_size, self.algorithm.config.tokens_per_micro_batch),
            vision=vision,
            experts_per_token=None if router is None else router.experts_per_token,
            fp32_head=self.args.cast_lm_head_to_fp32,
            checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        )

    def _make_vision(self) -> Vision | None:
        """The image inputs, if the model takes images; it must not generate image tokens."""
        model = self.accelerator.unwrap_model(self.model)
        if not has_tower(model):
            return None
        distributed = self.accelerator.num_processes > 1
        vision = Vision(
            model, self.run_.processor, lambda row: images_of(self.prompt_sampler.row(row)), distributed=distributed
        )
        suppressed = self.generation_config.suppress_tokens or []  # by trl.generation_kwargs
        self.generation_config.suppress_tokens = [*suppressed, *vision.placeholders]
        return vision

    def _make_server(self) -> VllmBackend | None:
        engine = self.run_.make_engine(self.accelerator)
        if engine is None:
            return None
        return VllmBackend(engine, self.policy, self.run_.await_engine, self.run_.watch)

    def _terminators(self) -> list[int]:
        return terminators(self._tokenizer, self.accelerator.unwrap_model(self.model))

    def _make_huggingface_backend(self) -> HuggingFaceBackend:
        ends = self._terminators()
        self.generation_config.eos_token_id = ends
        return HuggingFaceBackend(
            self._generate_with_huggingface, self.generation_config, self.accelerator, ends, self.policy.vision
        )

    def _generate_with_huggingface(
        self, prompt_ids: list[list[int]], images: Any, pixels: dict[str, Any]
    ) -> list[list[int]]:
        """One completion of each prompt by TRL's own generation, without dropout."""
        training = self.model.training
        self.model.eval()
        ids, _ = self._generate_single_turn(prompt_ids, images, pixels)
        self.model.train(training)
        return ids

    def _make_generator(self, backend: Backend) -> Generator:
        forbidden = self.policy.vision.placeholders if self.policy.vision else []
        sampling = replace(
            Sampling.from_args(self.args),
            stop_token_ids=self._terminators(),
            logit_bias=dict.fromkeys(forbidden, FORBIDDEN),
        )
        template = {"tools": self.tools or None, "chat_template": self.chat_template, **self.chat_template_kwargs}
        rewards = self.run_.recipe.rewards
        tokenizer = PromptTokenizer(
            self._tokenize_prompts,
            self.processing_class,
            keep_special_tokens=rewards is not None and rewards.keep_special_tokens,
            template=template,
        )
        return Generator(backend, tokenizer, sampling, self.run_.watch)

    def _token_text(self) -> Callable[[int], str] | None:
        """The text of a token id, for a log that keeps tokens; None for one that does not."""
        rollout = self.run_.recipe.rollout
        return self.generator.tokenizer.token if rollout is not None and rollout.record_tokens else None

    def _make_canary(self) -> Canary | None:
        rollout = self.run_.recipe.rollout
        if self.server is None or rollout is None:
            return None
        float32 = not self._trains_in_half_precision() and self.run_.serves_in_float32
        return Canary(self.policy, self.generator, rollout, self.metrics, float32=float32)

    def _make_episodes(self) -> EpisodeSampler | None:
        environments = self.run_.environments
        if environments is None:
            return None
        kwargs = {"chat_template": self.chat_template, "template_kwargs": self.chat_template_kwargs}
        renderer = ChatRenderer(self.processing_class, self._terminators(), **kwargs)
        rendering = environments.rendering(renderer, self.run_.recipe.folder)
        for note in rendering.notes:
            self.run_.screen.note(note)
        config = causal(self.accelerator.unwrap_model(self.model)).config.to_dict()
        limit = sequence_limit(self.run_.recipe, config, serves=self.run_.recipe.serves)
        return EpisodeSampler(environments, rendering, self.generator.backend, self.accelerator, self.run_.watch, limit)

    def _make_rollout_sampler(self) -> RolloutSampler:
        assert self.run_.rewards is not None
        return RolloutSampler(
            self.prompt_sampler,
            self.generator,
            self.run_.rewards,
            self.accelerator,
            self.metrics,
            self.run_.watch,
            group_size=self.num_generations,
            trainer_state=lambda: self.state,  # transformers makes a new one when training begins
            episodes=self.episodes,
        )

    def _make_dynamic_sampler(self) -> DynamicSampler:
        return DynamicSampler(
            self.prompt_sampler,
            self.rollout_sampler.sample,
            batch_size=self.batch_plan.prompts_per_rollout,
            group_size=self.num_generations,
            filter=self.algorithm.filter,
            tolerance=self.algorithm.config.tolerance,
            before_keeping=self._keep_sampler_logps,
        )

    def _keep_sampler_logps(self, rollouts: list[Rollout]) -> None:
        """Compute log-probabilities of what Hugging Face generated, since a later policy trains on it."""
        if self.server is None:
            for rollout, logps in zip(rollouts, self.policy.compute_logps(rollouts), strict=True):
                rollout.sampler_logps = logps.tolist()

    def _make_sample_builder(self) -> SampleBuilder:
        assert self.run_.rewards is not None
        return SampleBuilder(
            self.policy,
            self.algorithm,
            self.kl_coef,
            self.metrics,
            group_size=self.num_generations,
            reward_weights=self.run_.rewards.weights,
            max_completion_length=self.max_completion_length,
            reused=self.batch_plan.steps_per_rollout > 1,
        )

    def _make_loss(self) -> PolicyLoss:
        fused = LigerLoss(self._liger_mean, self.algorithm, self.accelerator.num_processes)
        return PolicyLoss(
            self.policy,
            self.algorithm,
            self.kl_coef,
            self.metrics,
            correction=self.algorithm.correction(self._off_policy()),
            max_completion_length=self.max_completion_length,
            balance_coef=self.router_aux_loss_coef,
            fused=fused if self.use_liger_kernel else None,
        )

    def _liger_mean(self, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        mean: Tensor = AxolotlGRPOTrainer.compute_loss(self, model, inputs)
        return mean * self.current_gradient_accumulation_steps  # TRL divides by it

    def _off_policy(self) -> bool:
        """Whether sampler and policy may differ: surplus groups, lookahead, or vLLM in half precision."""
        if self.algorithm.filter is not None or self.looks_ahead:
            return True
        return self.server is not None and self._trains_in_half_precision()

    def _trains_in_half_precision(self) -> bool:
        half = next(self.model.parameters()).dtype != torch.float32 or self.args.bf16 or self.args.fp16
        return bool(half)

    def _make_validator(self) -> Validator | None:
        run = self.run_
        if not run.validates:
            return None
        assert run.prompts is not None and run.rewards is not None
        sets = [
            held_out_rows(name, list(run.prompts.validation[name]), options, run.own_rewards.get(name, run.rewards))
            for name, options in run.recipe.held_out.items()
        ]
        return Validator(sets, self.generator, self.accelerator, run.validation_log, self.episodes)

    def _make_best(self) -> BestSoFar | None:
        config = self.run_.recipe.validation
        if self.validator is None or config is None or config.best is None:
            return None
        return BestSoFar(config.best, self.validator.log_names())

    def _validation_callback(self, config: ValidationConfig) -> ValidationCallback:
        rows = len(self.train_dataset) if hasattr(self.train_dataset, "__len__") else None
        every = config.steps(None if rows is None else self.batch_plan.steps_per_epoch(rows))
        return ValidationCallback(config, self.validate, every, self.best, self._end, self.run_.screen.note)

    def _end(self) -> NoReturn:
        """Show the final report and end the process: Axolotl would save a model that nothing has trained.

        Raises:
            SystemExit: with 0.
        """
        self.run_.finish()
        raise SystemExit(0)

    def _change_callbacks(self) -> None:
        for callback in (ProgressCallback, PrinterCallback):
            self.remove_callback(callback)
        self.add_callback(BeginCallback(self._begin))
        self.add_callback(LastStepCallback())
        if self.validator is not None and self.run_.recipe.validation is not None:
            self.add_callback(self._validation_callback(self.run_.recipe.validation))
        self.add_callback(TrackerCallback(self.run_.recipe, self.run_.examples, self.callback_handler.callbacks))
        self.add_callback(ScreenCallback(self.run_.screen))  # late: the wait for vLLM is no part of its ETA
        self.add_callback(StepLog(self.run_.recipe, self.run_.screen, self.accelerator.num_processes))
        if self.run_.session is not None and saves_checkpoints(self.run_.recipe.values):
            self.add_callback(StopCallback(self.run_.session, self.accelerator, self.run_.show_stop))

    def _begin(self) -> None:
        """Models are wrapped now, and Axolotl has installed its own Ctrl-C handler, which ours replaces."""
        if self.state.global_step:  # of the checkpoint
            check_steps_left(self.state.global_step, self.state.max_steps, "the checkpoint", "num_epochs")
        self.run_.keep_until(self.state.global_step)
        self.policy.model = self.model
        if self.accelerator.is_local_main_process:
            clear_unfinished(Path(self.args.output_dir))
        self._choose_layout()
        self.run_.mind_signals()

    def _choose_layout(self) -> None:
        """Compare our log-probabilities with the model's own on a few prompts, once; a RecipeError says they differ."""
        rows = [self.prompt_sampler.row(row) for row in self.prompt_sampler.peek(LAYOUT_PROMPTS)]
        prompts, _ = self.generator.tokenizer.prompts(rows)
        # of different lengths, and of two tokens at least
        sequences = [(ids * 2)[: LAYOUT_TOKENS - place] for place, ids in enumerate(prompts)]
        with self.run_.watch("canary"):
            choice = self.policy.choose_layout(sequences)
        if choice is not None and (note := choice.note()):
            self.run_.screen.note(note)


def _named(name: str) -> Any:
    """A function of this name for TRL, never called: the rollout sampler calls the reward functions."""

    def reward(**_: Any) -> list[float]:
        raise NotImplementedError("reward functions are called by the rollout sampler, not by TRL")

    reward.__name__ = name
    return reward

"""The lower half of the trainer: completions come from our engine, or from Hugging Face where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
from torch import nn
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from grpo_plugin.compat.packed_attention import install
from grpo_plugin.rollout.client.sampling import FORBIDDEN, Sampling
from grpo_plugin.rollout.engine import RolloutEngine
from grpo_plugin.run import Run
from grpo_plugin.trainer import huggingface
from grpo_plugin.trainer.feed import Feed
from grpo_plugin.trainer.forward import causal
from grpo_plugin.trainer.multimodal import images_of
from grpo_plugin.trainer.reward_calls import RewardCalls
from grpo_plugin.trainer.vision import Vision, has_tower


class CompletingTrainer(AxolotlGRPOTrainer):
    """Axolotl's trainer with this run's rewards, processor and engine; it knows models, prompts and completions.

    Attributes:
        feed: which prompts come next.
        finish_reasons: of the last completions of this rank.
        gap_unchecked: the engine has weights that the canary has not looked at.
    """

    def __init__(self, model: Any, reward_funcs: Any = None, **kwargs: Any) -> None:
        self.run_ = Run.current()
        self.reward_calls = None if self.run_.rewards is None else RewardCalls(self.run_.rewards)
        if self.reward_calls is not None:
            reward_funcs = self.reward_calls.functions()
        if self.run_.processor is not None:
            kwargs["processing_class"] = self.run_.processor  # Axolotl hands the tokenizer, which is blind
        super().__init__(model, reward_funcs, **kwargs)
        self.engine: RolloutEngine | None = self.run_.make_engine(self.accelerator)
        self.feed = Feed(self.train_dataset, self.args.seed, shuffle=self.shuffle_dataset)
        self.finish_reasons: list[str] = []
        self.gap_unchecked = False
        self._drawn_version = 0
        self._synced_step: int | None = None
        self.vision = self._make_vision()
        for packable in (self.model, self.ref_model):
            if packable is not None and self.vision is None:
                install(causal(self.accelerator.unwrap_model(packable)))

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
        return self._drawn_version if self.engine else self.state.global_step

    @property
    def looks_ahead(self) -> bool:
        """Whether the next batch is generated during the update."""
        rollout = self.run_.recipe.rollout
        return self.engine is not None and rollout is not None and rollout.lookahead > 0

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
        self.gap_unchecked = True

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
        self,
        prompt_ids: list[list[int]],
        n: int,
        temperature: float,
        images: list[Any] | None = None,
        top_p: float | None = None,
    ) -> list[list[tuple[list[int], str | None]]]:
        """`n` completions (token ids, finish reason) of each of this rank's prompts.

        Args:
            temperature: 0 is greedy.
            top_p: in place of the one in training.
        """
        sampling = drawn_at(self.sampling, temperature, top_p)
        if self.engine is None:
            return huggingface.complete(self, prompt_ids, n, sampling, images)
        groups = self.engine.generate(self.model, self.sent(prompt_ids), n, sampling, images, fresh=True)
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
            completions = self.engine.generate_repeated(self.model, self.sent(prompt_ids), n, self.sampling, images)
        self.finish_reasons = [completion.finish_reason for completion in completions]
        self._drawn_version = completions[0].version
        return [c.token_ids for c in completions], [c.logps for c in completions]

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


def drawn_at(sampling: Sampling, temperature: float, top_p: float | None = None) -> Sampling:
    """The same sampling at another temperature and nucleus; greedy (0) is free of every truncation."""
    if temperature == 0.0:
        return replace(sampling, temperature=0.0, top_p=1.0, top_k=0, min_p=None)
    return replace(sampling, temperature=temperature, top_p=sampling.top_p if top_p is None else top_p)

"""The Axolotl plugins: hooks only, each a few lines that call the other packages.

`register` runs on the raw recipe, before Axolotl validates it, on every rank; its changes are kept. It may run
twice (Ray), so every hook is idempotent.
"""

import os
from typing import Any

from axolotl.common.datasets import TrainDatasetMeta
from axolotl.integrations.base import BasePlugin

from grpo_plugin.algorithms.settings import of_recipe
from grpo_plugin.compat import axolotl_train, cpu_ranks, ddp_timeout, trackio_init
from grpo_plugin.recipe import inheritance, overrides
from grpo_plugin.recipe.batch_arithmetic import batch_of_values
from grpo_plugin.run import Run, is_training
from grpo_plugin.trainer.trl_arguments import forwarded, training_arguments


class _Plugin(BasePlugin):
    """What all of ours do: begin the run, choose the trainer, end the run."""

    block: str

    def register(self, cfg: Any) -> None:
        inheritance.apply(cfg)
        overrides.apply(cfg)
        self.run = Run.begin(cfg)
        if not is_training():  # inference, merging: Axolotl turns rl off, and nothing of ours is needed
            return
        cfg["rl"] = cfg.get("rl") or "grpo"
        cfg["trainer_cls"] = "grpo_plugin.trainer.PolicyTrainer"
        cfg["trl"] = cfg.get("trl") or {}
        axolotl_train.save_whole_model(cfg)
        self.run.load_rewards()

    def _load_rows(self, cfg: Any) -> TrainDatasetMeta:
        """The prompts, in place of Axolotl's data."""
        cpu_ranks.apply(cfg)
        ddp_timeout.apply(cfg)
        train = self.run.load_prompts(cfg).train
        batch = batch_of_values(cfg, int(os.environ.get("WORLD_SIZE", 1)))
        rows = len(train) if hasattr(train, "__len__") else None  # a stream has no length, and needs max_steps
        steps = batch.steps(rows, cfg.num_epochs, cfg.max_steps)
        return TrainDatasetMeta(train_dataset=train, eval_dataset=None, total_num_steps=steps)

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        fields = (
            forwarded(self.run.recipe.trl),
            ddp_timeout.training_arguments(cfg),
            trackio_init.training_arguments(cfg),
        )
        return {name: value for part in fields for name, value in part.items()}

    def post_train_unload(self, cfg: Any) -> None:
        self.run.finish()
        self.run.check_model()

    def get_input_args(self) -> str:
        return f"grpo_plugin.config.axolotl.{self.block.capitalize()}Args"


class PromptPlugin(_Plugin):
    """`prompts:` — which rows become prompts, and how they are worded."""

    block = "prompts"

    def register(self, cfg: Any) -> None:
        super().register(cfg)
        cfg["datasets"] = [{"path": "grpo_plugin.PromptPlugin"}]  # Axolotl needs one; load_datasets returns ours

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> TrainDatasetMeta:
        return self._load_rows(cfg)


class EnvironmentPlugin(_Plugin):
    """`environments:` — episodes of several turns, with environments and tools."""

    block = "environments"

    def register(self, cfg: Any) -> None:
        super().register(cfg)
        if self.run.recipe.prompts is None:
            cfg["datasets"] = [{"path": "grpo_plugin.EnvironmentPlugin"}]

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> TrainDatasetMeta | None:
        """The rows of a recipe without PromptPlugin, whose environment makes the prompts."""
        return None if self.run.recipe.prompts is not None else self._load_rows(cfg)

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        assert self.run.rewards is not None
        return {**super().get_training_args(cfg), "reward_weights": self.run.rewards.weights}


class RewardPlugin(_Plugin):
    """`rewards:` — which functions score a completion, and how they are run."""

    block = "rewards"

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        assert self.run.rewards is not None
        return {**super().get_training_args(cfg), "reward_weights": self.run.rewards.weights}


class AlgorithmPlugin(_Plugin):
    """`algorithm:` — which policy-gradient algorithm trains the policy."""

    block = "algorithm"

    def register(self, cfg: Any) -> None:
        super().register(cfg)
        if is_training():
            of_recipe(self.run.recipe.algorithm, self.run.recipe.trl).check_names(self.run.recipe.folder)

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        algorithm = of_recipe(self.run.recipe.algorithm, self.run.recipe.trl)
        uses_liger = bool(self.run.recipe.trl.get("use_liger_loss"))
        fields = training_arguments(algorithm, uses_liger, str(cfg.torch_dtype or "").removeprefix("torch."))
        return {**super().get_training_args(cfg), **fields}


class RolloutPlugin(_Plugin):
    """`rollout:` — vLLM: where it runs, how weights reach it, what happens when it fails."""

    block = "rollout"

    def register(self, cfg: Any) -> None:
        super().register(cfg)
        if is_training():
            cfg["trl"]["use_vllm"] = self.run.recipe.uses_vllm
            self.run.start_server()

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        # TRL must not build its own client; the trainer has the engine.
        return {**super().get_training_args(cfg), "use_vllm": False}


class ValidationPlugin(_Plugin):
    """`validation:` — how often and how the policy is evaluated on held-out prompts."""

    block = "validation"

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        fields = super().get_training_args(cfg)
        config = self.run.recipe.validation
        if config is not None and config.best is not None and cfg.save_total_limit:
            fields["save_total_limit"] = cfg.save_total_limit + 1  # the best checkpoint beside the last ones
        return fields

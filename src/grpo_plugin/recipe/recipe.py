"""A checked recipe: Axolotl's values, and our blocks as their models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.config.validation import EvaluationOptions, ValidationConfig


@dataclass(frozen=True)
class Recipe:
    """What `check` makes of a recipe's values. A block is None when its plugin is not in `plugins:`."""

    values: Mapping[str, Any]
    prompts: PromptsConfig | None
    rewards: RewardsConfig | None
    algorithm: AlgorithmConfig | None
    rollout: RolloutConfig | None
    validation: ValidationConfig | None
    quickstart: QuickstartConfig | None
    environments: EnvironmentsConfig | None = None

    def replace(self, **blocks: Any) -> "Recipe":
        """The same recipe with other blocks."""
        return replace(self, **blocks)

    @property
    def trl(self) -> Mapping[str, Any]:
        """The keys of `trl:`; without our algorithm block, `rl: gdpo` is the key that Axolotl makes of it."""
        trl = self.values.get("trl") or {}
        if self.values.get("rl") == "gdpo" and self.algorithm is None:
            return {"multi_objective_aggregation": "normalize_then_sum", **trl}
        return trl

    @property
    def vllm(self) -> Mapping[str, Any]:
        return self.values.get("vllm") or {}

    @property
    def output_dir(self) -> Path:
        return Path(self.values.get("output_dir") or "./model-out")

    @property
    def folder(self) -> Path:
        """The folder of the recipe file; a relative path in it is looked up here, then in the working directory."""
        return Path(self.values.get("axolotl_config_path") or ".").parent

    @property
    def name(self) -> str:
        """The name of the recipe file without `.yaml`."""
        return Path(self.values.get("axolotl_config_path") or "recipe").stem

    @property
    def makes_prompts(self) -> bool:
        """Whether the environment makes all prompts when it is reset: the recipe names no training data."""
        return self.environments is not None and (self.prompts is None or not self.prompts.train)

    @property
    def held_out(self) -> dict[str, EvaluationOptions]:
        """The sets of held-out prompts by name, with their options; none without `validation:`."""
        if self.validation is None or self.prompts is None:
            return {}
        return {name: self.validation.of_set(name) for name in self.prompts.validation or {}}

    @property
    def uses_vllm(self) -> bool:
        """Whether vLLM generates: it does with RolloutPlugin, unless the recipe says trl.use_vllm: false."""
        return self.rollout is not None and bool(self.trl.get("use_vllm", True))

    @property
    def serves(self) -> bool:
        """Whether this run starts a vLLM server."""
        return self.uses_vllm and self.rollout is not None and not self.rollout.url

"""Our blocks as Axolotl's schema takes them: one model per plugin, its block optional."""

from pydantic import BaseModel

from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.config.validation import ValidationConfig


class PromptsArgs(BaseModel):
    prompts: PromptsConfig | None = None


class EnvironmentsArgs(BaseModel):
    environments: EnvironmentsConfig | None = None


class RewardsArgs(BaseModel):
    rewards: RewardsConfig | None = None


class AlgorithmArgs(BaseModel):
    algorithm: AlgorithmConfig | None = None


class RolloutArgs(BaseModel):
    rollout: RolloutConfig | None = None


class ValidationArgs(BaseModel):
    validation: ValidationConfig | None = None


class QuickstartArgs(BaseModel):
    quickstart: QuickstartConfig | None = None

"""The blocks of a recipe that belong to this package, and the plugin that each belongs to."""

from dataclasses import dataclass

from grpo_plugin.config.algorithm import AlgorithmConfig
from grpo_plugin.config.block import Block
from grpo_plugin.config.environments import EnvironmentsConfig
from grpo_plugin.config.prompts import PromptsConfig
from grpo_plugin.config.quickstart import QuickstartConfig
from grpo_plugin.config.rewards import RewardsConfig
from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.config.validation import ValidationConfig


@dataclass(frozen=True)
class OwnedBlock:
    """A block of the recipe: its model, its plugin, and whether the block must be there if the plugin is."""

    model: type[Block]
    plugin: str
    required: bool = False


BLOCKS = {
    "prompts": OwnedBlock(PromptsConfig, "PromptPlugin", required=True),
    "rollout": OwnedBlock(RolloutConfig, "RolloutPlugin"),
    "environments": OwnedBlock(EnvironmentsConfig, "EnvironmentPlugin", required=True),
    "rewards": OwnedBlock(RewardsConfig, "RewardPlugin", required=True),
    "algorithm": OwnedBlock(AlgorithmConfig, "AlgorithmPlugin"),
    "validation": OwnedBlock(ValidationConfig, "ValidationPlugin"),
    "quickstart": OwnedBlock(QuickstartConfig, "QuickstartPlugin"),
}

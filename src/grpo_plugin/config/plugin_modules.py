"""The plugins of this package and the module of each, in the order of a training step."""

PLUGINS = {
    "PromptPlugin": "grpo_plugin.plugins",
    "RolloutPlugin": "grpo_plugin.plugins",
    "EnvironmentPlugin": "grpo_plugin.plugins",
    "RewardPlugin": "grpo_plugin.plugins",
    "AlgorithmPlugin": "grpo_plugin.plugins",
    "ValidationPlugin": "grpo_plugin.plugins",
    "QuickstartPlugin": "grpo_plugin.quickstart.plugin",
}

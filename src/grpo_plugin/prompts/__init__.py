"""Datasets become prompts: sources, wording, checks, length limits, images."""

from grpo_plugin.prompts.load import PromptData, load
from grpo_plugin.prompts.sources import check_sources

__all__ = ["PromptData", "check_sources", "load"]

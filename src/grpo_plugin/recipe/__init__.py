"""Reading a recipe and checking it, before anything is loaded: neither torch, transformers nor vllm is imported."""

from grpo_plugin.recipe.checking import check, parse
from grpo_plugin.recipe.reading import read
from grpo_plugin.recipe.recipe import Recipe

__all__ = ["Recipe", "check", "parse", "read"]

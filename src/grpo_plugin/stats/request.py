"""What to measure: a recipe, or a data set and tokenizers named on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from grpo_plugin.config.axolotl_values import read_values
from grpo_plugin.config.generated import is_generated
from grpo_plugin.config.prompts import PromptsConfig, Sources
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe import read
from grpo_plugin.recipe.overrides import mapping

Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Request:
    """Data, wording and tokenizers to measure.

    Args:
        config: wording and data of the split, which stands as its `train`.
        base_dir: where relative paths of the block start.
        tokenizers: folders or names on the hub; empty means the one that `recipe` trains with.
        recipe: the recipe's values, with the keys by which Axolotl changes a tokenizer; empty without a recipe.
    """

    config: PromptsConfig
    base_dir: Path
    split: Split = "train"
    tokenizers: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> Sources:
        """What is measured."""
        return self.config.train

    @property
    def trl(self) -> Mapping[str, Any]:
        return self.recipe.get("trl") or {}


def request(
    recipe: Path | None, dataset: Sequence[str], tokenizers: Sequence[str], split: Split, **wording: Any
) -> Request:
    """Make a request; the command line takes precedence over the recipe.

    Args:
        dataset: sources, written as in `prompts.train`, instead of the recipe's.
        wording: fields of the `prompts:` block; None leaves the recipe's.

    Raises:
        RecipeError: neither a recipe nor data and tokenizers, or a mistake in the block.
    """
    values = read_values(read(recipe)) if recipe else {}
    block = dict(mapping("prompts", values.get("prompts")))
    if recipe and not block and not dataset:
        raise RecipeError(f"{recipe}: the recipe has no 'prompts' block; add one, or name the data with --dataset.")
    if not recipe and not (dataset and tokenizers):
        raise RecipeError("stats: nothing to measure; name a recipe, or --dataset and --tokenizer.")
    block |= {name: value for name, value in wording.items() if value is not None}
    if dataset:
        block[split] = list(dataset)
        if not any(is_generated(source) for source in dataset):
            block = {key: value for key, value in block.items() if key not in ("size", "seed", "options")}
        block.setdefault("train", list(dataset))
    # Lengths of answers are those of the whole text in the data, and nothing is dropped.
    block.pop("answer_extract", None)
    config = PromptsConfig.parse("prompts", block)
    if split == "validation":
        config = _held_out(config)
    return Request(config, recipe.parent if recipe else Path.cwd(), split, tuple(tokenizers), values)


def _held_out(config: PromptsConfig) -> PromptsConfig:
    """The block of the only set of held-out prompts.

    Raises:
        RecipeError: there is none, or there are several.
    """
    names = list(config.validation or {})
    if not names:
        raise RecipeError("prompts.validation: not set, so there is nothing to measure; use --split train.")
    if len(names) > 1:
        raise RecipeError(f"prompts.validation: has the sets {', '.join(names)}; measure one of them with --dataset.")
    return config.held_out(names[0])

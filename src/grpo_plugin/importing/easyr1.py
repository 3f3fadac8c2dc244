"""EasyR1's configuration as a recipe: every key mapped, or left with the reason.

EasyR1 trains and generates on the same GPUs in turns and counts in prompts and rollout batches; here vLLM has GPUs of
its own, and counts are of completions and optimizer steps. So GPUs are split, and batches rounded to what the
remaining trainers can share; both are said in the recipe's comments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from grpo_plugin.errors import RecipeError
from grpo_plugin.importing.draft import Draft, Source, flatten
from grpo_plugin.importing.easyr1_algorithm import algorithm
from grpo_plugin.importing.easyr1_data import prompts
from grpo_plugin.importing.easyr1_keys import DEFAULTS, OPEN, RENAMED, RETIRED
from grpo_plugin.importing.easyr1_rewards import rewards
from grpo_plugin.importing.easyr1_scale import Scale, scale
from grpo_plugin.importing.easyr1_training import logging, model, optimizer, sharding
from grpo_plugin.importing.easyr1_vllm import sampling, server

PLUGINS = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm", "Rollout", "Validation")]


@dataclass(frozen=True)
class Imported:
    """The recipe, and the GPUs it is for."""

    draft: Draft
    scale: Scale

    @property
    def command(self) -> str:
        machines = f" --num-machines={self.scale.nodes}" if self.scale.nodes > 1 else ""
        return f"axolotl train --num-processes={self.scale.processes}{machines} recipe.yaml"


def import_easyr1(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Imported:
    """The recipe for an EasyR1 configuration file and the `dotted.key=value` words of its command line.

    Raises:
        RecipeError: an override without `=`, or no model.
    """
    draft = Draft(read_source(values, overrides))
    size = scale(draft)
    model(draft)
    draft.put("plugins", PLUGINS)
    prompts(draft)
    rewards(draft)
    algorithm(draft)
    server(draft, size)
    sampling(draft)
    optimizer(draft, size)
    sharding(draft, size)
    logging(draft, size)
    for key in draft.source.unread:
        draft.leave(key, RETIRED.get(key, "no key of EasyR1 (at b44b311); check its spelling"))
    return Imported(draft, size)


def read_source(values: Mapping[str, Any], overrides: Iterable[str]) -> Source:
    """File and command line over EasyR1's defaults, flat."""
    defaults = dict(flatten(DEFAULTS, OPEN))
    written = dict(flatten(values, OPEN))
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals:
            raise RecipeError(f"{word!r}: expected an override such as worker.rollout.n=8.")
        if key != "config":
            written |= dict(flatten({key: yaml.safe_load(value)}, OPEN))
    renamed = {RENAMED.get(key, key): value for key, value in written.items()}
    typed = {key: _like(defaults.get(key), value) for key, value in renamed.items()}
    return Source({**defaults, **typed}, frozenset(typed))


def _like(default: Any, value: Any) -> Any:
    """YAML 1.1 reads 1e-6 as text; EasyR1's schema makes it a number."""
    if isinstance(value, str) and (isinstance(default, float) or default is None):
        try:
            return float(value)
        except ValueError:
            return value
    return value

"""EasyR1's configuration as a recipe: every key is converted, or listed with the reason why it is not.

EasyR1 trains and generates on the same GPUs in turns and counts in prompts and rollout batches; here vLLM has GPUs of
its own, and counts are of completions and optimizer steps. So GPUs are split, and batches rounded to what the
remaining trainers can share; the recipe's comments say both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.convert.easyr1.algorithm_section import algorithm
from grpo_plugin.convert.easyr1.config_file import read_source
from grpo_plugin.convert.easyr1.data_section import prompts
from grpo_plugin.convert.easyr1.draft import Draft, Dropped
from grpo_plugin.convert.easyr1.known_keys import RETIRED
from grpo_plugin.convert.easyr1.model_section import model
from grpo_plugin.convert.easyr1.optimizer_section import optimizer
from grpo_plugin.convert.easyr1.reward_section import rewards
from grpo_plugin.convert.easyr1.rollout_section import sampling, server
from grpo_plugin.convert.easyr1.scale import Scale, put_batch, scale
from grpo_plugin.convert.easyr1.sharding_section import sharding
from grpo_plugin.convert.easyr1.trainer_section import logging
from grpo_plugin.convert.easyr1.value_types import KNOWN

PLUGINS = [f"grpo_plugin.{name}Plugin" for name in ("Prompt", "Reward", "Algorithm", "Rollout", "Validation")]


@dataclass(frozen=True)
class Conversion:
    """The recipe, and the numbers of GPUs, processes and completions that it is for."""

    draft: Draft
    scale: Scale


def convert_config(values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Conversion:
    """The recipe for an EasyR1 configuration file and the `dotted.key=value` words of its command line.

    Raises:
        RecipeError: an override without `=`; a value that its key cannot have; no model, data or reward.
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
    put_batch(draft, size.batch)
    optimizer(draft, size)
    sharding(draft, size)
    logging(draft, size)
    _explain_the_rest(draft)
    return Conversion(draft, size)


def _explain_the_rest(draft: Draft) -> None:
    overridden = {one.key: one for one in draft.source.overridden}
    values = {name: draft.source[key] for key, name in draft.source.spelling.items()}
    for name in draft.unexplained:
        if name in overridden:
            draft.dropped.append(Dropped(name, overridden[name].value, f"{overridden[name].by} is used instead"))
        else:
            draft.dropped.append(Dropped(name, values[name], _unknown(name)))


def _unknown(name: str) -> str:
    if any(key.startswith(f"{name}.") for key in KNOWN):
        return "a section without keys"
    return RETIRED.get(
        name, "has no counterpart" if name in KNOWN else "no key of EasyR1 (at b44b311); check its spelling"
    )

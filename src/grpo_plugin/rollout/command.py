"""The vLLM server's command line and environment, built by pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.devices import DeviceSplit
from grpo_plugin.rollout.endpoint import Endpoint


@dataclass(frozen=True)
class ServerCommand:
    """`argv` to run and the whole environment to run it in; `env` carries the key, so it is never printed."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    endpoint: Endpoint


def resolve_sync(rollout: RolloutConfig, *, gpus: bool, trainer_has_vllm: bool) -> Literal["nccl", "file"]:
    """How weights travel: what `rollout.sync` says, `auto` meaning NCCL where both sides can.

    Raises:
        RecipeError: when the way asked for cannot work here.
    """
    raise NotImplementedError


def server_command(
    recipe: Mapping[str, Any],
    rollout: RolloutConfig,
    split: DeviceSplit,
    endpoint: Endpoint,
    sync: Literal["nccl", "file"],
    environ: Mapping[str, str],
) -> ServerCommand:
    """`python -m vllm.entrypoints.openai.api_server …` for an Axolotl recipe.

    Raises:
        RecipeError: when the recipe names a running server (`rollout.url`) or no `base_model`.
    """
    raise NotImplementedError

"""Which GPUs train and which serve."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpo_plugin.config.rollout import RolloutConfig


@dataclass(frozen=True)
class DeviceSplit:
    """GPU indices or UUIDs as CUDA_VISIBLE_DEVICES writes them; both empty on a machine without GPUs."""

    trainer: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


def visible_gpus(env: Mapping[str, str] = os.environ) -> list[str]:
    """GPUs this process may use: CUDA_VISIBLE_DEVICES, else all that `nvidia-smi -L` lists; [] without a GPU."""
    raise NotImplementedError


def split(
    visible: Sequence[str],
    num_processes: int,
    rollout: RolloutConfig,
    vllm: Mapping[str, Any],
    *,
    use_vllm: bool = True,
    serves_here: bool = True,
) -> DeviceSplit:
    """Give the server the last `rollout.gpus` visible GPUs and the trainer the rest.

    `num_processes` counts the trainer processes of this node; `serves_here` is false on nodes other than the first.

    Raises:
        RecipeError: when the counts do not fit; the message says which number to use.
    """
    raise NotImplementedError

"""Which GPUs train and which serve."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError


@dataclass(frozen=True)
class DeviceSplit:
    """GPU indices or UUIDs as CUDA_VISIBLE_DEVICES writes them; both empty on a machine without GPUs."""

    trainer: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


def visible_gpus(env: Mapping[str, str] = os.environ) -> list[str]:
    """GPUs this process may use: CUDA_VISIBLE_DEVICES, else all that `nvidia-smi -L` lists; [] without a GPU."""
    if (listed := env.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = (name.strip() for name in listed.split(","))
        # CUDA ignores everything from the first invalid entry on.
        return list(takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    cards = [line for line in answer.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(cards))] if answer.returncode == 0 else []


def split(
    visible: Sequence[str],
    num_processes: int | None,
    rollout: RolloutConfig,
    vllm: Mapping[str, Any],
    *,
    use_vllm: bool = True,
    serves_here: bool = True,
    trains_here: bool = True,
) -> DeviceSplit:
    """Give the server the last `rollout.gpus` visible GPUs and the trainer the rest.

    `num_processes` counts the trainer processes of this node, None for as many as fit; `serves_here` is false on
    nodes other than the first, `trains_here` where only a server runs.

    Raises:
        RecipeError: when the counts do not fit; the message says which number to use.
    """
    if not visible:
        return DeviceSplit()
    if rollout.url or not use_vllm or not serves_here:
        return _all_to_trainer(visible, num_processes)
    serving = _server_size(rollout, vllm)
    training = len(visible) - serving
    if training < 0:
        raise RecipeError(
            f"rollout.gpus: vLLM takes {serving} GPU(s) and {len(visible)} are visible; make more GPUs visible, or "
            "lower vllm.tensor_parallel_size or data_parallel_size."
        )
    if training == 0 and trains_here:
        raise RecipeError(
            f"rollout.gpus: vLLM takes {serving} of the {len(visible)} visible GPU(s), which leaves none to train; "
            "make more GPUs visible, lower vllm.tensor_parallel_size or data_parallel_size, or set trl.use_vllm: false."
        )
    if num_processes not in (None, training):
        raise RecipeError(
            f"--num-processes={num_processes}: of {len(visible)} visible GPU(s) the last {serving} serve vLLM and "
            f"{training} remain to train; use --num-processes={training}, or change rollout.gpus."
        )
    return DeviceSplit(tuple(visible[:training]), tuple(visible[training:]))


def _all_to_trainer(visible: Sequence[str], num_processes: int | None) -> DeviceSplit:
    if num_processes is not None and num_processes > len(visible):
        raise RecipeError(
            f"--num-processes={num_processes}: only {len(visible)} GPU(s) are visible; "
            f"use --num-processes={len(visible)}."
        )
    return DeviceSplit(trainer=tuple(visible))


def _server_size(rollout: RolloutConfig, vllm: Mapping[str, Any]) -> int:
    tensor = vllm.get("tensor_parallel_size") or 1
    data = vllm.get("data_parallel_size") or 1
    if rollout.gpus is not None and rollout.gpus != tensor * data:
        raise RecipeError(
            f"rollout.gpus: {rollout.gpus} differs from vllm.tensor_parallel_size × data_parallel_size = "
            f"{tensor} × {data}; set vllm.tensor_parallel_size: {rollout.gpus}, or rollout.gpus: {tensor * data}."
        )
    return tensor * data

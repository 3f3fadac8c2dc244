"""Disk space of a run: the model it downloads, its checkpoints, and the weights file for vLLM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.planning.model_shapes import Model
from grpo_plugin.planning.training import ADAPTER_BYTES, Training
from grpo_plugin.recipe.checkpoints import saves_checkpoints

KEPT_BY_DEFAULT = 4  # Axolotl's save_total_limit


@dataclass(frozen=True)
class Disk:
    """Bytes on disk, and in /dev/shm.

    Attributes:
        download: weights of the model that the run starts from.
        checkpoint: one checkpoint.
        checkpoints: how many are kept.
        model: the final model or adapter.
        shared_memory: the file in /dev/shm that carries weights to vLLM; 0 with NCCL.
    """

    download: int
    checkpoint: int
    checkpoints: int
    model: int
    shared_memory: int

    @property
    def output(self) -> int:
        """The most that output_dir holds: a new checkpoint is written before the oldest is deleted."""
        return self.model + (self.checkpoints + 1 if self.checkpoints else 0) * self.checkpoint


def disk(found: Model, training: Training, values: Mapping[str, Any], *, sends_file: bool) -> Disk:
    """What a run writes.

    Args:
        sends_file: weights reach vLLM as a file in shared memory.
    """
    shape = found.shape
    trained = training.trained(shape)
    model = ADAPTER_BYTES * trained if training.lora_rank else int(min(training.weight_bytes, 4) * shape.parameters)
    states = 0 if values.get("save_only_model") else training.state_bytes * trained
    whole = int(min(max(training.weight_bytes, 2), 4) * shape.parameters)
    carried = model if (values.get("rollout") or {}).get("lora") == "adapter" else whole
    return Disk(
        download=found.stored_bytes,
        checkpoint=model + states,
        checkpoints=(values.get("save_total_limit") or KEPT_BY_DEFAULT) if saves_checkpoints(values) else 0,
        model=model,
        shared_memory=carried if sends_file else 0,
    )

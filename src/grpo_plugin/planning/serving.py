"""What vLLM holds on each of its GPUs, and how many completions fit at once.

vLLM takes `gpu_memory_utilization` of a GPU: its share of the weights (16 bits, divided by tensor_parallel_size),
about 2 GiB for CUDA graphs and buffers, and with all the rest it caches keys and values:
2 · layers · key width · 2 bytes per token, divided likewise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpo_plugin.planning.machine import GIB
from grpo_plugin.planning.model_sizes import ModelShape

GRAPHS = 2 * GIB
UTILIZATION = 0.9  # Axolotl's and vLLM's default


@dataclass(frozen=True)
class Serving:
    """One replica's share of one GPU.

    Attributes:
        tensor: GPUs that hold one copy of the model.
        data: copies.
        utilization: share of a GPU that vLLM takes.
        weights: bytes per GPU.
        per_token: bytes of cache per token and GPU.
        sequence: longest sequence served, in tokens; None for the model's own limit.
    """

    tensor: int
    data: int
    utilization: float
    weights: int
    per_token: int
    sequence: int | None

    def cached_tokens(self, gpu: int) -> int:
        """Tokens that one replica caches on GPUs of `gpu` bytes; negative if not even the weights fit."""
        return int((self.utilization * gpu - self.weights - GRAPHS) // self.per_token)

    def at_once(self, gpu: int) -> int:
        """Sequences of full length that all replicas together hold at once."""
        return self.data * max(0, self.cached_tokens(gpu)) // (self.sequence or 1)

    def needs(self, sequences: int = 1) -> int:
        """Bytes a GPU must have so that each replica holds so many sequences of full length."""
        return int((self.weights + GRAPHS + sequences * (self.sequence or 0) * self.per_token) / self.utilization)


def serving(shape: ModelShape, vllm: Mapping[str, Any], sequence: int | None) -> Serving:
    """The `Serving` of a model of this shape by the `vllm:` block, for sequences of at most `sequence` tokens."""
    tensor = vllm.get("tensor_parallel_size") or 1
    shards = min(tensor, shape.kv_heads)  # key heads fewer than GPUs are held more than once
    return Serving(
        tensor=tensor,
        data=vllm.get("data_parallel_size") or 1,
        utilization=vllm.get("gpu_memory_utilization") or UTILIZATION,
        weights=2 * shape.parameters // tensor,
        per_token=shape.cache_per_token // shards,
        sequence=vllm.get("max_model_len") or sequence,
    )

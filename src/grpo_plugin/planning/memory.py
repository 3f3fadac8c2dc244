"""The peak memory of a GPU of the trainer: an estimate, in bytes, part by part.

With P parameters, T of them trained, w bytes per weight, N GPUs, n tokens in the longest micro-batch, and the model's
L layers, hidden size H, feed-forward I, vocabulary V; `/N` where the sharding divides it (ZeRO 1: optimizer; ZeRO 2:
and gradients; ZeRO 3, FSDP: and weights):

| part | bytes |
|---|---|
| weights | w · P /N |
| adapter | 4 · T /N, in fp32 |
| gradients | w · T /N (adapter: 4); twice under DDP (buckets); whole in FSDP while they accumulate |
| optimizer | s · T /N: Adam 2 w; with Kahan's compensation (optimi_adamw) 3 w; DeepSpeed's fp32 copies 12 |
| reference model | w · P /N; none without a KL, or with an adapter |
| gathered layers | w · (two layers + embeddings), under ZeRO 3 and FSDP |
| activations | w · n · H · L with checkpointing, and 1.5 times one layer: w · n · (9 H + 3 · (queries + keys) + 4 I) |
| output head | 4 · V · H for its gradient in fp32, and two chunks of 2^25 logits |
| CUDA, NCCL, fragments | 2 GiB |

Compared with what a layer of Qwen2 and of Qwen3 saves for its backward pass, the activations are within 10 %
(tests/unit/planning/test_memory.py). It is the longest case: every sequence at its limit.
"""

from dataclasses import dataclass

from grpo_plugin.planning.machine import GIB
from grpo_plugin.planning.model_sizes import ModelShape
from grpo_plugin.planning.training import ADAPTER_BYTES, Training

OVERHEAD = 2 * GIB
LOGITS_CHUNK = 2 * 4 * 2**25


@dataclass(frozen=True)
class Estimate:
    """Bytes, part by part; parts of 0 bytes are left out."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def trainer_memory(shape: ModelShape, training: Training, gpus: int, *, gpu: bool = True) -> Estimate:
    """The peak memory of each of the trainer's `gpus` GPUs; without `gpu`, of each of as many processes on CPUs."""
    whole = training.sharding in ("none", "zero1", "zero2")
    weights = int(training.weight_bytes * shape.parameters)
    trained = training.trained(shape)
    parts = {
        "weights": 0 if training.offloads_weights else weights // (1 if whole else gpus),
        "adapter": ADAPTER_BYTES * trained // (1 if whole else gpus) if training.lora_rank else 0,
        "gradients": _gradients(training, trained, gpus),
        "optimizer": _optimizer(training, trained, gpus),
        "reference model": _reference(shape, training, 1 if whole else gpus),
        "gathered layers": 0 if whole else int(training.weight_bytes * (2 * shape.layer + shape.embeddings)),
        "activations": activations(shape, training),
        "output head": _head(shape, training),
        "CUDA, NCCL, fragments": OVERHEAD if gpu else 0,
    }
    return Estimate({name: size for name, size in parts.items() if size})


def activations(shape: ModelShape, training: Training) -> int:
    """Bytes that the forward pass keeps for the backward pass, and those of the layer that is being recomputed."""
    width = int(min(max(training.weight_bytes, 2), 4))
    layer = width * training.tokens * layer_width(shape)
    if not training.checkpoints:
        return shape.layers * layer + layer // 2
    kept = width * training.tokens * shape.hidden * shape.layers
    if shape.vision:  # four patches for each token of an image; at worst all of the prompt is image
        kept += width * 4 * training.tokens * shape.vision.hidden * shape.vision.layers
    return kept + layer * 3 // 2


def layer_width(shape: ModelShape) -> int:
    """Numbers that one decoder layer keeps per token for its backward pass."""
    return 9 * shape.hidden + 3 * (shape.attention + shape.kv) + 4 * shape.intermediate


def _gradients(training: Training, trained: int, gpus: int) -> int:
    size = training.gradient_bytes * trained
    if training.sharding in ("none", "zero1"):
        buckets = size if gpus > 1 and training.sharding == "none" else 0
        return size + buckets
    return size if training.gathers_gradients else size // gpus


def _optimizer(training: Training, trained: int, gpus: int) -> int:
    if training.offloads_optimizer:
        return 0
    size = training.state_bytes * trained
    return size if training.sharding == "none" else size // gpus


def _reference(shape: ModelShape, training: Training, gpus: int) -> int:
    return int(training.weight_bytes * shape.parameters) // gpus if training.reference else 0


def _head(shape: ModelShape, training: Training) -> int:
    return LOGITS_CHUNK + (0 if training.lora_rank else 4 * shape.embedding)

"""Main memory of a run on a machine without a GPU, where the trainer and vLLM share it: an estimate, in bytes."""

from contextlib import suppress
from dataclasses import dataclass
from os import sysconf
from pathlib import Path

from grpo_plugin.planning.machine import GIB
from grpo_plugin.planning.memory import trainer_memory
from grpo_plugin.planning.model_sizes import ModelShape
from grpo_plugin.planning.training import Training

LIBRARIES = GIB  # of the trainer: torch, transformers, Axolotl
SERVER = 2 * GIB  # vLLM's three processes before they hold weights
CACHE = GIB  # of keys and values: VLLM_CPU_KVCACHE_SPACE, unless rollout.env says otherwise
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_LASTING = ("weights", "adapter", "gradients", "optimizer", "reference model")


@dataclass(frozen=True)
class MainMemory:
    """Bytes.

    Attributes:
        lasting: what the trainer holds from its first step to its last, its libraries among it.
        passing: activations and logits, with every sequence at its limit.
        server: vLLM's weights in float32, a copy of them packed for the processor, its cache and its libraries; 0 where
            the run starts no server.
    """

    lasting: int
    passing: int
    server: int

    @property
    def least(self) -> int:
        """With less than this, no run gets through its first step."""
        return self.lasting + self.server

    @property
    def most(self) -> int:
        return self.least + self.passing


def main_memory(shape: ModelShape, training: Training, *, serves: bool) -> MainMemory:
    """What a run takes.

    Args:
        serves: the run starts a vLLM server.
    """
    parts = trainer_memory(shape, training, 0).parts
    lasting = sum(parts.get(name, 0) for name in _LASTING)
    server = 2 * 4 * shape.parameters + CACHE + SERVER if serves else 0
    return MainMemory(LIBRARIES + lasting, sum(parts.values()) - lasting, server)


def installed() -> int | None:
    """Bytes that the processes of this machine, or of this container, may take; None where that is not known."""
    found: list[int] = []
    with suppress(ValueError, OSError):
        found.append(sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES"))
    for limit in _LIMITS:
        with suppress(ValueError, OSError):  # "max", or another version of the kernel's interface
            found.append(int(Path(limit).read_text()))
    return min(found) if found else None

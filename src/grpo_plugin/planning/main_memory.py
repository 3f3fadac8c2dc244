"""Main memory of a run on a machine without a GPU, where the trainer and vLLM share it: an estimate, in bytes."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from os import sysconf
from pathlib import Path

from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.memory import Estimate, trainer_memory
from grpo_plugin.planning.model_sizes import ModelShape
from grpo_plugin.planning.training import Training, from_recipe
from grpo_plugin.recipe import Recipe
from grpo_plugin.rollout.server.command import CPU_CACHE, dtype

LIBRARIES = GIB  # of the trainer: torch, transformers, Axolotl
UNSHARED = GIB // 2  # of them in each further process; the rest are files that processes share
SERVER = 2 * GIB  # vLLM's three processes before they hold weights
_CGROUPS, _OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_LASTING = ("weights", "adapter", "gradients", "optimizer", "reference model")


@dataclass(frozen=True)
class MainMemory:
    """Bytes, of all processes on one machine.

    Attributes:
        lasting: what the trainer holds from its first step to its last, its libraries among it.
        passing: activations and logits, with every sequence at its limit.
        server: vLLM's weights, a copy of them packed for the processor, its cache and its libraries; 0 where the run
            starts no server here.
        cache: of keys and values, in `server`; 0 where vLLM chooses.
    """

    lasting: int
    passing: int
    server: int
    cache: int = 0

    @property
    def least(self) -> int:
        """With less than this, no run gets through its first step."""
        return self.lasting + self.server

    @property
    def most(self) -> int:
        return self.least + self.passing


def main_memory(recipe: Recipe, machine: Machine, shape: ModelShape) -> MainMemory:
    """What a run takes of each machine: every process of its trainer, and vLLM on the first."""
    processes = processes_here(machine)
    parts = process_memory(shape, from_recipe(recipe), machine).parts
    lasting = sum(parts.get(name, 0) for name in _LASTING)
    passing = processes * (sum(parts.values()) - lasting)
    trainer = processes * lasting + LIBRARIES + (processes - 1) * UNSHARED
    if not recipe.serves or machine.rank:
        return MainMemory(trainer, passing, 0)
    weight_bytes = 4 if dtype(recipe.values, gpus=False) in ("float32", "float") else 2
    cache = _cache(recipe)
    server = 2 * weight_bytes * shape.parameters + cache + SERVER
    return MainMemory(trainer, passing, server, cache)


def process_memory(shape: ModelShape, training: Training, machine: Machine) -> Estimate:
    """The peak of one process of the trainer, without its libraries; what is offloaded lies in the same memory."""
    processes = max(1, machine.num_processes or 1)
    whole = replace(training, offloads_weights=False, offloads_optimizer=False)
    return trainer_memory(shape, whole, processes, gpu=False)


def processes_here(machine: Machine) -> int:
    """The trainer's processes on each machine without a GPU; accelerate starts one where the command names none."""
    return max(1, (machine.num_processes or 1) // machine.nodes)


def _cache(recipe: Recipe) -> int:
    """Bytes that vLLM takes for keys and values; 0 where it is left to choose."""
    given = recipe.rollout.env.get("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE) if recipe.rollout else CPU_CACHE
    with suppress(ValueError):
        return int(float(given) * GIB)
    return 0


def installed() -> int | None:
    """Bytes that the processes of this machine, or of this container, may take; None where that is not known."""
    found: list[int] = []
    with suppress(ValueError, OSError):
        found.append(sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES"))
    for limit in _limits():
        with suppress(ValueError, OSError):  # "max", or no such file
            found.append(int(limit.read_text()))
    return min(found) if found else None


def _limits() -> Iterator[Path]:
    """The files with the limits of this process's control group and of those around it, up to the outermost."""
    lines = _OF_PROCESS.read_text().splitlines() if _OF_PROCESS.is_file() else []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # the second version of control groups
            root, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        inner = Path(group.lstrip("/"))
        yield from (root / each / name for each in (inner, *inner.parents))

"""Where a run is planned for."""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """One or several equal machines.

    Attributes:
        gpus: visible on each; 0 on a machine without.
        num_processes: of the trainer, on all machines; None for as many as fit.
        nodes: machines.
        gpu_memory: bytes of one GPU.
    """

    gpus: int
    num_processes: int | None = None
    nodes: int = 1
    gpu_memory: int = 80 * GIB

"""The machine that a run is planned for."""

from dataclasses import dataclass

GIB = 2**30
CARDS = (16, 24, 32, 40, 48, 80, 96, 140, 180, 270)  # GiB of common GPUs
USABLE = 0.95  # of a GPU's memory; drivers and fragmentation take the rest


@dataclass(frozen=True)
class Machine:
    """One or several equal machines.

    Attributes:
        gpus: visible on each; 0 on a machine without.
        num_processes: of the trainer, on all machines; None for as many as fit.
        nodes: machines.
        gpu_memory: bytes of one GPU.
        rank: which of the machines this one is; vLLM runs on the first, 0.
        memory: bytes of main memory, where the run is to start here; None for another machine.
    """

    gpus: int
    num_processes: int | None = None
    nodes: int = 1
    gpu_memory: int = 80 * GIB
    rank: int = 0
    memory: int | None = None

    @property
    def usable(self) -> float:
        """Bytes of one GPU that a process can allocate."""
        return USABLE * self.gpu_memory


def card(needed: float, above: float = 0) -> int | None:
    """Memory (GiB) of the smallest GPU over `above` bytes that has `needed` bytes usable; None if there is none."""
    return next((size for size in CARDS if size * GIB > above and needed <= USABLE * size * GIB), None)

"""A vLLM plugin for tests: NCCL's broadcast and CUDA's streams played by a TCP store, so that a machine without GPUs
runs everything else of vLLM's weight transfer as it is. Both sides call `install`; vLLM does so in all its processes.
"""

from contextlib import nullcontext
from typing import Any

import torch


class Communicator:
    """In the place of vLLM's PyNcclCommunicator, which wraps the group that both sides have met in."""

    def __init__(self, group: Any, device: Any = None) -> None:
        self.group = group
        self.available, self.disabled = True, False

    def broadcast(self, tensor: torch.Tensor, src: int, stream: Any = None) -> None:
        if self.disabled:
            return
        received = self.group.broadcast(tensor, src)
        if self.group.rank != src:
            tensor.copy_(received)

    def destroy(self) -> None:
        self.available, self.disabled = False, True


class Stream:
    def __init__(self, device: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        pass


def install() -> None:
    from vllm.distributed.device_communicators import pynccl

    pynccl.PyNcclCommunicator = Communicator
    torch.cuda.Stream = Stream
    torch.cuda.stream = lambda stream: nullcontext()
    torch.cuda.current_stream = lambda *_: Stream()
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.synchronize = lambda *_: None

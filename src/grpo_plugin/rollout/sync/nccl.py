"""Weights from the trainer's first GPU to vLLM's GPUs over NCCL, through vLLM's own weight-transfer routes."""

from collections import deque
from collections.abc import Generator, Iterator
from inspect import GEN_RUNNING, getgeneratorstate

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync.base import SyncFailed, raise_on_every_rank
from grpo_plugin.rollout.sync.nccl_transfer import (
    ParamMeta,
    Routes,
    Source,
    Transfer,
    bounded,
    meeting_point,
    open_transfer,
)
from grpo_plugin.rollout.sync.weights import named_tensors

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


class NcclTransport:
    """The main process and vLLM's workers form an NCCL group; other ranks only take part in gathering the weights."""

    def __init__(self, server: ServerHandle | None, accelerator: Accelerator, timeout: float) -> None:
        """`server` is None on every rank but the main one; `timeout`: seconds for one push."""
        self._server = server
        self._accelerator = accelerator
        self._timeout = timeout
        self._metadata: list[ParamMeta] | None = None
        self._open: tuple[Routes, Source, Transfer] | None = None

    def push(self, model: nn.Module, version: int) -> None:
        """See `WeightTransport.push`."""
        with raise_on_every_rank(self._accelerator):
            if self._metadata is None:
                named = named_tensors(model)
                self._metadata = [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in named]
            tensors = self._tensors(model)
            try:
                if self._server is not None:
                    self._send(self._server, tensors, version, self._metadata)
            except (RolloutError, RuntimeError) as error:
                self.close()
                raise SyncFailed(f"vLLM did not get version {version} of the weights: {error}") from error
            finally:
                # Gathering is collective: the other ranks, and this one after an error, run it to the end.
                if getgeneratorstate(tensors) != GEN_RUNNING:
                    deque(tensors, maxlen=0)

    def close(self) -> None:
        """Leave the group; vLLM may be gone."""
        if self._open is not None:
            self._open[2].abort()
            self._open = None

    def _send(
        self, server: ServerHandle, tensors: Iterator[tuple[str, Tensor]], version: int, metadata: list[ParamMeta]
    ) -> None:
        routes, source, transfer = self._open = self._open or self._connect(server, metadata)
        routes.version = version
        source.refill(lambda: tensors)
        _finish_gpu_work()
        bounded(transfer.send, routes.failed, transfer.abort, self._timeout)
        _finish_gpu_work()
        server.client.reset_caches()

    def _connect(self, server: ServerHandle, metadata: list[ParamMeta]) -> tuple[Routes, Source, Transfer]:
        routes, source = Routes(server.client.post, self._timeout), Source(metadata)
        workers = server.client.get("/get_world_size")["world_size"]
        address, port = meeting_point(server.client.address)
        transfer = bounded(
            lambda: open_transfer(routes, source, address, port, workers), routes.failed, lambda: None, self._timeout
        )
        return routes, source, transfer

    def _tensors(self, model: nn.Module) -> Generator[tuple[str, Tensor], None, None]:
        # vLLM holds a buffer's worth of tensors at once, and FSDP frees the storage of a layer when the next is
        # gathered.
        copy = self._accelerator.distributed_type in SHARDED
        for name, tensor in named_tensors(model):
            yield name, tensor.to(self._accelerator.device, copy=copy)


def _finish_gpu_work() -> None:
    """Wait for the GPU: vLLM packs tensors on its own streams, which do not wait for the optimizer's."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()

"""Weights from the trainer's first GPU to vLLM's GPUs over NCCL, through vLLM's own weight-transfer routes."""

from collections import deque
from collections.abc import Generator, Iterator
from inspect import GEN_RUNNING, getgeneratorstate

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server.handle import Host
from grpo_plugin.rollout.sync.base import SyncFailed, together
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


class NcclUpdater:
    """The main process and vLLM's workers form a group of their own; other ranks only help to gather."""

    def __init__(self, host: Host | None, accelerator: Accelerator, timeout: float, *, untied: bool = False) -> None:
        """`host`: the server, None on every rank but the main one; `timeout`: seconds for one push.

        `untied`: it holds tied parameters apart and needs each of them.
        """
        self._host = host
        self._accelerator = accelerator
        self._timeout = timeout
        self._untied = untied
        self._metadata: list[ParamMeta] | None = None
        self._open: tuple[Routes, Source, Transfer] | None = None

    def push(self, model: nn.Module, version: int) -> None:
        """As `Updater.push` says."""
        with together(self._accelerator):
            if self._metadata is None:
                named = named_tensors(model, untied=self._untied)
                self._metadata = [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in named]
            tensors = self._tensors(model)
            try:
                if self._host is not None:
                    self._send(self._host, tensors, version, self._metadata)
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

    def _send(self, host: Host, tensors: Iterator[tuple[str, Tensor]], version: int, metadata: list[ParamMeta]) -> None:
        routes, source, transfer = self._open = self._open or self._connect(host, metadata)
        routes.version = version
        source.refill(lambda: tensors)
        _finish_gpu_work()
        bounded(transfer.send, routes.failed, transfer.abort, self._timeout)
        _finish_gpu_work()
        host.client.reset_caches()

    def _connect(self, host: Host, metadata: list[ParamMeta]) -> tuple[Routes, Source, Transfer]:
        routes, source = Routes(host.client.post, self._timeout), Source(metadata)
        workers = host.client.get("/get_world_size")["world_size"]
        address, port = meeting_point(host.client.address)
        transfer = bounded(
            lambda: open_transfer(routes, source, address, port, workers), routes.failed, lambda: None, self._timeout
        )
        return routes, source, transfer

    def _tensors(self, model: nn.Module) -> Generator[tuple[str, Tensor], None, None]:
        # vLLM holds a buffer's worth of tensors at once, and FSDP frees the storage of a layer when the next is asked.
        copy = self._accelerator.distributed_type in SHARDED
        for name, tensor in named_tensors(model, untied=self._untied):
            yield name, tensor.to(self._accelerator.device, copy=copy)


def _finish_gpu_work() -> None:
    """vLLM packs tensors on streams of its own, which do not wait for the optimizer, nor it for them."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()

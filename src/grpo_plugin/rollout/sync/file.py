"""Weights to a vLLM on the same machine: safetensors in shared memory, which vLLM then reloads."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch import Tensor, nn

from grpo_plugin.errors import RolloutError
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync.base import SyncFailed, raise_on_every_rank
from grpo_plugin.rollout.sync.shared_folder import shared_folder
from grpo_plugin.rollout.sync.weights import named_tensors

SHARD = 256 * 2**20
"""Bytes of tensors held at once, besides the shards already written."""


class FileTransport:
    """Writes a checkpoint that vLLM loads in place of its weights, and removes it once vLLM has answered."""

    def __init__(self, server: ServerHandle | None, accelerator: Accelerator, timeout: float) -> None:
        """`server` is None on every rank but the main one; `timeout`: seconds it may take to load the weights."""
        self._server = server
        self._accelerator = accelerator
        self._timeout = timeout
        self._bytes: int | None = None

    def push(self, model: nn.Module, version: int) -> None:
        """See `WeightTransport.push`."""
        with raise_on_every_rank(self._accelerator):
            if self._bytes is None:
                self._bytes = sum(tensor.nbytes for _, tensor in named_tensors(model))
            tensors = named_tensors(model)
            try:
                if self._server is not None:
                    self._send(self._server, tensors, self._bytes, version)
            finally:
                # Gathering is collective: the other ranks, and this one after an error, run it to the end.
                deque(tensors, maxlen=0)

    def close(self) -> None:
        """Nothing is held between two pushes."""

    def _send(self, server: ServerHandle, tensors: Iterable[tuple[str, Tensor]], needed: int, version: int) -> None:
        try:
            with shared_folder(server.run_dir, f"v{version}", needed) as folder:
                # Sharded parameters are gone from their storage when the next layer is gathered.
                write_shards(tensors, folder, copy=self._accelerator.distributed_type != DistributedType.NO)
                self._reload(server, folder, version)
        except OSError as error:
            raise RolloutError(
                f"rollout.sync: file: the weights ({needed} bytes) could not be written ({error}); give the machine or "
                "container more shared memory (docker run --shm-size), or a TMPDIR with room."
            ) from error

    def _reload(self, server: ServerHandle, folder: Path, version: int) -> None:
        request = {"method": server.reload_method, "kwargs": {"weights_path": str(folder)}}
        try:
            server.client.post("/collective_rpc", request, set_version=version, timeout=self._timeout)
            server.client.reset_caches()
        except RolloutError as error:
            raise SyncFailed(f"vLLM did not load version {version} of the weights: {error}") from error


def write_shards(tensors: Iterable[tuple[str, Tensor]], folder: Path, *, copy: bool, limit: int = SHARD) -> None:
    """Write safetensors files of at most `limit` bytes each; a larger tensor has a file of its own.

    `copy`: whether a tensor in main memory may change before its file is written.
    """
    for index, shard in enumerate(_shards(tensors, copy, limit)):
        save_file(shard, folder / f"model-{index:05d}.safetensors")


def _shards(tensors: Iterable[tuple[str, Tensor]], copy: bool, limit: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor.to("cpu", copy=copy).contiguous()
        size += tensor.nbytes
    if shard:
        yield shard

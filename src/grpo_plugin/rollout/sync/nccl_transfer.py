"""vLLM's weight transfer over NCCL as the trainer's main process drives it, for both of vLLM's APIs.

vLLM 0.23 to 0.27 have static functions for the trainer, and each update says how tensors are packed. From 0.28 on an
engine object drives the four calls itself, and the handshake says how tensors are packed. vLLM is imported when a
transfer is opened: with `sync: file` the trainer's environment has none.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from threading import Thread
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import torch
from torch import Tensor

from grpo_plugin.errors import RolloutError

T = TypeVar("T")

BUFFER = 256 * 2**20
"""Bytes of tensors in one broadcast; both sides hold two such buffers, vLLM's outside of gpu_memory_utilization."""

ABORTED_WITHIN = 60.0
"""Seconds an aborted transfer may take to gather what is left, which the other ranks wait for."""


@dataclass(frozen=True)
class ParamMeta:
    """A tensor to be sent: name, type and shape, the attributes of vLLM's class of the same name."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


class Source:
    """The tensors of one push, as vLLM's `WeightSource` has them; `refill` before each push."""

    def __init__(self, metadata: list[ParamMeta]) -> None:
        self._metadata = metadata
        self._tensors: Callable[[], Iterable[tuple[str, Tensor]]] = tuple

    def refill(self, tensors: Callable[[], Iterable[tuple[str, Tensor]]]) -> None:
        self._tensors = tensors

    def metadata(self) -> list[ParamMeta]:
        return self._metadata

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return iter(self._tensors())


class Routes:
    """vLLM's `VLLMWeightSyncClient` over our client; `failed` gets the first error, while others still broadcast."""

    def __init__(self, post: Callable[..., Any], timeout: float) -> None:
        """`post`: `Client.post`. `timeout`: seconds for one answer."""
        self._post_to = post
        self._timeout = timeout
        self.version: int | None = None
        self.failed: Future[Any] = Future()

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._post("/init_weight_transfer_engine", {"init_info": init_info})

    def start_weight_update(self) -> None:
        self._post("/start_weight_update", {}, set_version="broken")

    def update_weights(self, update_info: Any) -> None:
        self._post("/update_weights", {"update_info": update_info}, set_version="broken")

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._post("/finish_weight_update", {}, set_version=self.version)

    def _post(self, path: str, body: dict[str, Any], **options: Any) -> None:
        try:
            self._post_to(path, body, timeout=self._timeout, **options)
        except RolloutError as error:
            if not self.failed.done():
                self.failed.set_exception(error)
            raise


class Transfer(Protocol):
    """An open NCCL group of the trainer's main process (rank 0) and vLLM's workers."""

    def send(self) -> None:
        """Send everything the source has; returns when vLLM has loaded it."""

    def abort(self) -> None:
        """Leave the group; a broadcast under way returns, later ones do nothing."""


def open_transfer(routes: Routes, source: Source, address: str, port: int, workers: int) -> Transfer:
    """Form the group with vLLM's `workers` processes; they meet this one at `address`:`port`, which must be free."""
    from vllm.distributed.weight_transfer import nccl_engine

    modern = hasattr(nccl_engine, "NCCLTrainerWeightTransferEngine")
    return (EngineTransfer if modern else FunctionTransfer)(routes, source, address, port, workers)


def meeting_point(server: str) -> tuple[str, int]:
    """An address of this machine that the server can reach, and a free port; `server` as `Client` takes it."""
    host = urlsplit(server).hostname
    if host is None:
        address = "127.0.0.1"
    else:
        family = socket.getaddrinfo(host, 9)[0][0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing; it only selects the interface
            address = probe.getsockname()[0]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return address, probe.getsockname()[1]


class EngineTransfer:
    """vLLM 0.28 and later."""

    def __init__(self, routes: Routes, source: Source, address: str, port: int, workers: int) -> None:
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        info = NCCLTrainerInitInfo(
            rank=0,
            master_address=address,
            master_port=port,
            world_size=1 + workers,
            packed=True,
            packed_buffer_size_bytes=BUFFER,
        )
        self._engine = WeightTransferTrainerFactory.trainer_init(info, client=routes, source=source)

    def send(self) -> None:
        self._engine.send_weights()

    def abort(self) -> None:
        group = self._engine.model_update_group
        self._engine.shutdown()
        if group is not None:
            group.destroy()


class FunctionTransfer:
    """vLLM 0.23 to 0.27."""

    def __init__(self, routes: Routes, source: Source, address: str, port: int, workers: int) -> None:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine, NCCLWeightTransferInitInfo

        self._routes = routes
        self._source = source
        info = NCCLWeightTransferInitInfo(
            master_address=address, master_port=port, rank_offset=1, world_size=1 + workers
        )
        answer = in_thread(lambda: routes.init_weight_transfer_engine(asdict(info)))
        self._group = NCCLWeightTransferEngine.trainer_init(info)
        answer.result()

    def send(self) -> None:
        from vllm.distributed.weight_transfer import nccl_engine

        packing = {"packed": True, "packed_buffer_size_bytes": BUFFER}
        meta = self._source.metadata()
        update = nccl_engine.NCCLWeightTransferUpdateInfo(
            names=[each.name for each in meta],
            dtype_names=[str(each.dtype).removeprefix("torch.") for each in meta],
            shapes=[list(each.shape) for each in meta],
            **packing,
        )
        self._routes.start_weight_update()
        answer = in_thread(lambda: self._routes.update_weights(asdict(update)))
        nccl_engine.NCCLWeightTransferEngine.trainer_send_weights(
            iter(self._source), nccl_engine.NCCLTrainerSendWeightsArgs(group=self._group, **packing)
        )
        answer.result()
        self._routes.finish_weight_update()

    def abort(self) -> None:
        self._group.destroy()


def bounded(work: Callable[[], T], failed: Future[Any], abort: Callable[[], None], timeout: float) -> T:
    """Do `work` in a thread, as NCCL cannot be interrupted; `abort` it when `failed` gets an error, or time is up.

    Raises:
        RolloutError: what `failed` got, or that `timeout` seconds have passed.
    """
    done = in_thread(work)
    either: list[Future[Any]] = [done, failed]
    wait(either, timeout, FIRST_COMPLETED)
    if done.done() and not failed.done():
        return done.result()
    abort()
    wait([done], ABORTED_WITHIN)
    if failed.done():
        failed.result()
    raise RolloutError(f"sending weights over NCCL took over {timeout:g} s (rollout.request_timeout)")


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Start `work` on this thread's GPU; the thread does not keep the process alive, whatever it waits for."""
    done: Future[T] = Future()
    device = torch.cuda.current_device() if torch.cuda.is_available() else None

    def run() -> None:
        try:
            if device is not None:
                torch.cuda.set_device(device)
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return done

"""The weight transport of a run: NCCL, a file in shared memory, or the LoRA adapter alone."""

from typing import Literal

from accelerate import Accelerator

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.server.handle import ServerHandle
from grpo_plugin.rollout.sync.adapter import AdapterTransport
from grpo_plugin.rollout.sync.base import WeightTransport
from grpo_plugin.rollout.sync.file import FileTransport
from grpo_plugin.rollout.sync.nccl import NcclTransport


def make_transport(
    sync: Literal["nccl", "file"],
    server: ServerHandle | None,
    accelerator: Accelerator,
    rollout: RolloutConfig,
) -> WeightTransport:
    """The transport to `server`, which is None on every rank but the main one."""
    if rollout.lora == "adapter":
        return AdapterTransport(server, accelerator, rollout.request_timeout)
    if sync == "nccl":
        return NcclTransport(server, accelerator, rollout.request_timeout)
    return FileTransport(server, accelerator, rollout.request_timeout)

"""Which way the weights of a run travel to vLLM."""

from typing import Literal

from accelerate import Accelerator

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.server.handle import Host
from grpo_plugin.rollout.sync.adapter import AdapterUpdater
from grpo_plugin.rollout.sync.base import Updater
from grpo_plugin.rollout.sync.file import FileUpdater
from grpo_plugin.rollout.sync.nccl import NcclUpdater


def make_updater(
    sync: Literal["nccl", "file"],
    host: Host | None,
    accelerator: Accelerator,
    rollout: RolloutConfig,
    *,
    untied: bool = False,
) -> Updater:
    """The updater for the server at `host`, which is None on every rank but the main one.

    `untied`: the server was told that no embeddings are tied, and needs each of them.
    """
    if rollout.lora == "adapter":
        return AdapterUpdater(host, accelerator, rollout.request_timeout)
    if sync == "nccl":
        return NcclUpdater(host, accelerator, rollout.request_timeout, untied=untied)
    return FileUpdater(host, accelerator, rollout.request_timeout, untied=untied)

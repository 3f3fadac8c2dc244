"""The ways weights travel, by name."""

from typing import TYPE_CHECKING, Literal

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.sync import Updater

if TYPE_CHECKING:
    from accelerate import Accelerator

    from grpo_plugin.rollout.host import Host


def make_updater(
    sync: Literal["nccl", "file"], host: "Host | None", accelerator: "Accelerator", rollout: RolloutConfig
) -> Updater:
    """The updater of this run; `host` is None on every rank but the main one."""
    from grpo_plugin.rollout.sync_file import FileUpdater

    return FileUpdater(host.client, accelerator, host.run_dir, rollout.request_timeout)

"""The ways weights travel, by name."""

from typing import TYPE_CHECKING, Any, Literal

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RolloutError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from grpo_plugin.rollout.client import Client


class SyncFailed(RolloutError):
    """The server's weights are in doubt; only a restarted server can be trusted again."""


def make_updater(
    sync: Literal["nccl", "file"], client: "Client | None", accelerator: "Accelerator", rollout: RolloutConfig
) -> Any:
    """The updater of this run; `client` is None on every rank but the main one."""
    raise NotImplementedError

"""From a recipe to a running server: GPUs, weight transport, command, launch."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.rollout.server.command import ServerCommand, dtype, resolve_sync, server_command
from grpo_plugin.rollout.server.devices import DeviceSplit, split, visible_gpus
from grpo_plugin.rollout.server.endpoint import choose_endpoint
from grpo_plugin.rollout.server.process import Server


@dataclass(frozen=True)
class ServerPlan:
    """Everything that determines a server's command but its address."""

    values: Mapping[str, Any]
    rollout: RolloutConfig
    split: DeviceSplit
    sync: Literal["nccl", "file"]
    environ: Mapping[str, str]

    @property
    def in_float32(self) -> bool:
        """Whether the server computes in float32; false for one at rollout.url, whose options are not known.

        On GPUs float32 is what the recipe says, but TF32 may round its products.
        """
        return self.rollout.url is None and not self.split.server and dtype(self.values, gpus=False) == "float32"

    def command(self, run_dir: Path) -> ServerCommand:
        endpoint = choose_endpoint(self.rollout, run_dir)
        return server_command(self.values, self.rollout, self.split, endpoint, self.sync, self.environ)

    def launch(self, run_dir: Path, log_path: Path) -> Server:
        """Start the server as a child of this process; returns at once."""
        return Server.launch(self.command(run_dir), run_dir, log_path)


def plan_server(
    values: Mapping[str, Any],
    rollout: RolloutConfig,
    environ: Mapping[str, str],
    *,
    num_processes: int | None,
    uses_vllm: bool = True,
    serves_here: bool = True,
    trains_here: bool = True,
) -> ServerPlan:
    """Plan the server of a recipe on this machine.

    Args:
        num_processes: the trainer processes of this node; None for as many as fit.
        trains_here: false where only the server runs, which may then have every GPU.

    Raises:
        RecipeError: when GPUs, processes and recipe do not fit.
    """
    vllm = values.get("vllm") or {}
    visible = visible_gpus(environ)
    devices = split(
        visible,
        num_processes,
        rollout,
        vllm,
        use_vllm=uses_vllm,
        serves_here=serves_here,
        trains_here=trains_here,
    )
    trainer_has_vllm = importlib.util.find_spec("vllm") is not None
    sync = resolve_sync(rollout, gpus=bool(visible), trainer_has_vllm=trainer_has_vllm)
    return ServerPlan(values, rollout, devices, sync, dict(environ))

"""Lets several ranks train without GPUs, over gloo: `axolotl train --num-processes=2 RECIPE`.

Defects: on a machine without GPUs accelerate 1.x starts one process whatever --num-processes says, unless it is told
that they are GPUs'; goes when it starts as many as it is asked for.
accelerate passes over FSDP's settings on CPUs without a word, and trains whole copies; goes when it takes or refuses
them. Axolotl 0.19 makes FSDP's mesh of ranks one of CUDA devices; goes when it asks what there is.
Axolotl 0.19 puts rank 1 on device 1 whatever the machine has; goes when its `choose_device` handles CPUs.
accelerate calls the device of a rank `cpu:0`, to which torch 2.13 restores no optimizer's state ("don't know how to
restore data location"), so that such a run could not be resumed; goes when `torch.load` takes that name.
"""

import os
from collections.abc import MutableMapping
from typing import Any

PRIORITY = 100  # behind torch's own
_loads = False


def launcher_words(words: list[str], processes: int, environ: MutableMapping[str, str]) -> list[str]:
    """The arguments of `axolotl train …` with which accelerate starts every process; sets what these need to know.

    The processes share the processors, where the user has not said how many threads each may have.
    """
    environ["ACCELERATE_USE_CPU"] = "true"
    environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    return [*words[:1], "--multi-gpu", *words[1:]]


def apply(cfg: Any) -> None:
    """Put every rank's model on the CPU where there is nothing else; called before the model is loaded."""
    import torch

    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.cuda.is_available():
        cfg.device_map = {"": "cpu"}
        _let_fsdp_divide_over_cpus()
        _let_torch_load_to_numbered_cpus()


def _let_fsdp_divide_over_cpus() -> None:
    """Axolotl's mesh of ranks is one of CPUs, and accelerate takes FSDP's settings there; idempotent."""
    from accelerate.parallelism_config import ParallelismConfig
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    if hasattr(AcceleratorState, "takes_fsdp_on_cpus"):
        return
    mesh, init = ParallelismConfig.build_device_mesh, AcceleratorState.__init__

    def takes_fsdp(state: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        init(state, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            if state._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(state._mixed_precision)
            state.fsdp_plugin = fsdp_plugin

    ParallelismConfig.build_device_mesh = lambda config, device_type: mesh(config, "cpu")
    AcceleratorState.__init__ = takes_fsdp
    AcceleratorState.takes_fsdp_on_cpus = True


def _let_torch_load_to_numbered_cpus() -> None:
    """`torch.load(…, map_location="cpu:0")` is as "cpu"; idempotent."""
    import torch

    global _loads
    if not _loads:
        torch.serialization.register_package(PRIORITY, lambda storage: None, _restored)
        _loads = True


def _restored(storage: Any, location: str) -> Any:
    """The storage where it is; None, for torch to ask elsewhere, for a location that is no numbered CPU."""
    return storage if location.startswith("cpu:") else None

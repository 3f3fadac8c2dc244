"""The policy's complete weights, under the names they have in a Hugging Face checkpoint of the model.

One decoder layer (or one module outside the layers) is gathered at a time, so a model sharded over ranks is never
whole in one place. Adapters are merged out of place: the base weights are the same bits before and after, where
merging and unmerging in turn would let them drift.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.integrations import dequantize_bnb_weight
from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from grpo_plugin.errors import RolloutError

Tuner = Any
"""A PEFT layer around a module: peft.BaseTunerLayer, which only in its subclasses is an nn.Module."""

INNER = ("module", "base_model", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Under these names DDP, DeepSpeed, PEFT, torch.compile, FSDP1 and checkpointing keep what they wrap."""


@dataclass(frozen=True)
class Owner:
    """A module that may hold parameters, under the path it has in a checkpoint.

    `tuner` is the outermost PEFT layer around it, `unit` the FSDP1 module that shards it.
    """

    path: str
    module: nn.Module
    tuner: Tuner | None
    unit: nn.Module | None


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor a checkpoint of `model` has, in its exact type, with the adapters merged in.

    `model` may be wrapped by PEFT, DDP, FSDP1, FSDP2, DeepSpeed or torch.compile. Collective: with sharded weights
    every rank must run it to its end. A tensor is valid until the next one is yielded. Weights quantised by
    bitsandbytes come dequantised, which is what the trainer computes with.

    Raises:
        RolloutError: when there is no Hugging Face model inside `model`.
        ValueError: when a merged weight is NaN or infinite.
    """
    policy, owners = owners_of(model)
    aliases = set(_aliases(policy, owners))
    for layer in _by_layer(owners):
        with gathered(layer):
            tensors = dict(pair for owner in layer for pair in _tensors(owner))
            for name in aliases & tensors.keys():
                del tensors[name]
            yield from revert_weight_conversion(policy, tensors).items()


def adapter_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The LoRA matrices alone, under the names of a PEFT checkpoint. Collective, as `named_tensors`."""
    _, owners = owners_of(model)
    for layer in _by_layer(part for owner in owners if owner.tuner for part in _matrices(owner, owner.tuner)):
        with gathered(layer):
            for owner in layer:
                yield from ((f"base_model.model.{name}", tensor) for name, tensor in _tensors(owner))


def owners_of(model: nn.Module) -> tuple[PreTrainedModel, list[Owner]]:
    """The Hugging Face model inside `model`, and the modules of it that may hold parameters.

    Raises:
        RolloutError: when there is no Hugging Face model inside `model`.
    """
    unit, inner = None, model
    while not isinstance(inner, PreTrainedModel):
        unit = inner if isinstance(inner, FullyShardedDataParallel) else unit
        child: Any = next((inner._modules[name] for name in INNER if name in inner._modules), None)
        if child is None:
            raise RolloutError(f"model: expected a Hugging Face model to send to vLLM, got {type(model).__name__}.")
        inner = child
    return inner, list(_walk(inner, "", None, unit))


def _walk(module: Any, path: str, tuner: Tuner | None, unit: nn.Module | None) -> Iterator[Owner]:
    unit = module if isinstance(module, FullyShardedDataParallel) else unit
    if isinstance(module, ModulesToSaveWrapper):
        active = module.active_adapters
        yield from _walk(module.modules_to_save[active[0]] if active else module.original_module, path, tuner, unit)
    elif isinstance(module, TrainableTokensWrapper):
        yield from _walk(module.token_adapter, path, tuner, unit)
    elif isinstance(module, BaseTunerLayer):
        yield from _walk(module.get_base_layer(), path, tuner or module, unit)
    else:
        yield Owner(path, module, tuner, unit)
        for name, child in module.named_children():
            inside = path if name.startswith("_") and name in INNER else f"{path}.{name}".lstrip(".")
            yield from _walk(child, inside, tuner if inside == path else None, unit)


def _by_layer(owners: Iterable[Owner]) -> Iterable[list[Owner]]:
    layers = defaultdict(list)
    for owner in owners:
        layers[_layer(owner)].append(owner)
    return layers.values()


def _layer(owner: Owner) -> str:
    """The key of what is gathered at once: the path up to its first index, else the FSDP1 unit that shards it."""
    parts = owner.path.split(".")
    for depth, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: depth + 1])
    return owner.path if owner.unit is None else f"unit {id(owner.unit)}"


def _aliases(policy: PreTrainedModel, owners: Iterable[Owner]) -> Iterator[str]:
    """Names a checkpoint leaves out: tied to another parameter, with no adapter that would make the two differ."""
    at = {owner.path: owner for owner in owners}
    for name, source in policy.all_tied_weights_keys.items():
        path, _, attribute = name.rpartition(".")
        source_path, _, source_attribute = source.rpartition(".")
        one, other = at[path], at[source_path]
        same = one.module._parameters.get(attribute) is other.module._parameters.get(source_attribute)
        if same and one.tuner is None and other.tuner is None:
            yield name


def _matrices(owner: Owner, tuner: Tuner) -> Iterator[Owner]:
    for kind in ("lora_A", "lora_B"):
        for adapter in tuner.active_adapters:
            yield from _walk(getattr(tuner, kind)[adapter], f"{owner.path}.{kind}", None, owner.unit)


@contextmanager
def gathered(owners: Iterable[Owner]) -> Iterator[None]:
    """Within it, every rank has the full parameters of `owners` and of the adapters around them. Collective."""
    owners = list(owners)
    modules = [module for owner in owners for module in (owner.tuner.modules() if owner.tuner else [owner.module])]
    units = [owner.unit for owner in owners] + [m for m in modules if isinstance(m, FullyShardedDataParallel)]
    with ExitStack() as stack:
        for unit in dict.fromkeys(unit for unit in units if unit is not None):
            stack.enter_context(FullyShardedDataParallel.summon_full_params(unit, recurse=False, writeback=False))
        params = dict.fromkeys(p for module in modules for p in module.parameters(recurse=False))
        if any(hasattr(p, "ds_id") for p in params):
            import deepspeed

            stack.enter_context(deepspeed.zero.GatheredParameters(list(params)))
        for module in dict.fromkeys(modules):
            stack.enter_context(_whole(module))
        yield


@contextmanager
def _whole(module: nn.Module) -> Iterator[None]:
    """FSDP2: put the full tensor in the place of each sharded parameter of `module` itself."""
    sharded: dict[str, Any] = {name: p for name, p in module._parameters.items() if isinstance(p, DTensor)}
    try:
        for name, parameter in sharded.items():
            module._parameters[name] = nn.Parameter(parameter.detach().full_tensor(), requires_grad=False)
        yield
    finally:
        module._parameters.update(sharded)


def _tensors(owner: Owner) -> Iterator[tuple[str, Tensor]]:
    tensors = _own(owner.module) if owner.tuner is None else _merged(owner.module, owner.tuner)
    for name, tensor in tensors.items():
        yield f"{owner.path}.{name}".lstrip("."), tensor


def _own(module: nn.Module) -> dict[str, Tensor]:
    """What `module` itself adds to a checkpoint."""
    weights = {name: p.data for name, p in module._parameters.items() if p is not None and name != "_flat_param"}
    if _quantised(module):
        weights["weight"] = _dequantised(module)
    saved = module._buffers.keys() - module._non_persistent_buffers_set
    return weights | {name: buffer for name, buffer in module._buffers.items() if name in saved and buffer is not None}


@torch.no_grad()
def _merged(base: nn.Module, tuner: Tuner) -> dict[str, Tensor]:
    """What `base` would add to a checkpoint with the active adapters of `tuner` merged; it keeps its own weights."""
    if _quantised(base):
        return _own(base) | {"weight": _merged_quantised(base, tuner)}
    kept = [(parameter, parameter.data) for parameter in base.parameters(recurse=False)]
    layers = [layer for layer in _stacked(tuner) if not layer.merged]
    try:
        for layer in layers:
            layer.merge(safe_merge=True)
        return _own(base)
    finally:
        for parameter, data in kept:
            parameter.data = data
        for layer in layers:
            layer.merged_adapters.clear()


def _stacked(tuner: Tuner) -> Iterator[Tuner]:
    """PEFT nests one layer in another where several parameters of one module have adapters."""
    yield tuner
    if isinstance(tuner.base_layer, BaseTunerLayer):
        yield from _stacked(tuner.base_layer)


def _quantised(module: nn.Module) -> bool:
    return type(module._parameters.get("weight")).__name__ in ("Params4bit", "Int8Params")


def _dequantised(module: Any) -> Tensor:
    return dequantize_bnb_weight(module.weight, state=getattr(module, "state", None)).detach()


def _merged_quantised(base: nn.Module, tuner: Tuner) -> Tensor:
    weight = _dequantised(base)
    for adapter in tuner.active_adapters:
        if adapter in tuner.lora_variant:
            weight = tuner.lora_variant[adapter].merge_safe(tuner, adapter, weight)
        elif adapter in tuner.lora_A:
            weight = weight + tuner.get_delta_weight(adapter).to(weight.dtype)
    return weight

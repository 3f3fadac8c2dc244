"""The Axolotl keys that this package computes with: what each must be, checked before anything is computed.

Axolotl's own schema checks the same keys, but only once everything is imported and with a traceback.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError


@dataclass(frozen=True)
class Kind:
    """What a value must be, in words; `read` gives it as that, or raises ValueError."""

    expected: str
    read: Callable[[Any], Any]


def number(least: float | None = None, *, over: float | None = None, most: float = math.inf) -> Kind:
    """A finite number, also one that YAML reads as text: 1e-6 has no point."""
    return Kind(_words("a number", least, over, most), lambda value: _within(_number(value), least, over, most))


def whole(least: int | None = None) -> Kind:
    return Kind(_words("a whole number", least), lambda value: _within(_whole(value), least))


def one_of(expected: str, *types: type) -> Kind:
    """A value of one of the types, as it is; mappings are copied, so that what is in them can be replaced."""

    def read(value: Any) -> Any:
        if not isinstance(value, types):
            raise ValueError
        return dict(value) if isinstance(value, Mapping) else value

    return Kind(expected, read)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if not math.isfinite(float(value)):
        raise ValueError
    return float(value) if isinstance(value, str) else value


def _whole(value: Any) -> int:
    read = _number(value)
    if read % 1:
        raise ValueError
    return int(read)


def _within(value: float, least: float | None = None, over: float | None = None, most: float = math.inf) -> float:
    if (least is not None and value < least) or (over is not None and value <= over) or value > most:
        raise ValueError
    return value


def _words(what: str, least: float | None = None, over: float | None = None, most: float = math.inf) -> str:
    """`a number over 0 and up to 1`."""
    bounds = [f"of {least:g} or more"] if least is not None else []
    bounds += [f"over {over:g}"] if over is not None else []
    bounds += [f"up to {most:g}"] if most < math.inf else []
    return f"{what} {' and '.join(bounds)}".strip()


MAPPING = one_of("keys and values", Mapping)
TEXT = one_of("text", str)
COUNT = whole(1)

# Dotted key -> its kind; a block stands before the keys in it.
KEYS: dict[str, Kind] = {
    "plugins": one_of("a list of plugins", list, tuple),
    "base_model": TEXT,
    "output_dir": TEXT,
    "adapter": TEXT,
    "optimizer": TEXT,
    "micro_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "batch_size": COUNT,
    "num_epochs": number(over=0),
    "max_steps": whole(),
    "learning_rate": number(0),
    "sequence_len": COUNT,
    "seed": whole(),
    "save_steps": number(over=0),
    "save_total_limit": whole(0),
    "lora_r": COUNT,
    "lora_target_modules": one_of("names of layers", str, list),
    "context_parallel_size": COUNT,
    "sequence_parallel_degree": COUNT,
    "fsdp_config": MAPPING,
    "deepspeed": one_of("a file, or keys and values", str, Mapping),
    "deepspeed.zero_optimization": MAPPING,
    "deepspeed.zero_optimization.stage": whole(0),
    "deepspeed.zero_optimization.offload_optimizer": MAPPING,
    "deepspeed.zero_optimization.offload_param": MAPPING,
    "accelerator_config": MAPPING,
    "accelerator_config.gradient_accumulation_kwargs": MAPPING,
    "trl": MAPPING,
    "trl.num_generations": COUNT,
    "trl.generation_batch_size": COUNT,
    "trl.num_iterations": COUNT,
    "trl.max_completion_length": COUNT,
    "trl.temperature": number(over=0),
    "trl.top_p": number(over=0, most=1),
    "trl.top_k": whole(),
    "trl.min_p": number(0, most=1),
    "trl.beta": number(0),
    "trl.epsilon": number(0),
    "trl.epsilon_high": number(0),
    "trl.generation_kwargs": MAPPING,
    "trl.chat_template_kwargs": MAPPING,
    "vllm": MAPPING,
    "vllm.tensor_parallel_size": COUNT,
    "vllm.data_parallel_size": COUNT,
    "vllm.gpu_memory_utilization": number(over=0, most=1),
    "vllm.max_model_len": COUNT,
}


def read_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recipe's values, with those of KEYS as the numbers they stand for.

    Raises:
        RecipeError: for the first that is of another type, or out of bounds.
    """
    made = dict(values)
    for key in KEYS:
        *path, name = key.split(".")
        owner: Any = made
        for part in path:
            owner = owner.get(part) if isinstance(owner, Mapping) else None
        if isinstance(owner, dict) and owner.get(name) is not None:
            owner[name] = _read(key, owner[name])
    return made


def _read(key: str, value: Any) -> Any:
    try:
        return KEYS[key].read(value)
    except (ValueError, OverflowError):
        raise RecipeError(f"{key}: expected {KEYS[key].expected}, got {value!r}.") from None


def read_deepspeed(config: Any) -> dict[str, Any]:
    """DeepSpeed's configuration, as it stands in the recipe or in the file that the recipe names; empty without one.

    Raises:
        RecipeError: no such file, no JSON, or not DeepSpeed's keys.
    """
    if not config or isinstance(config, Mapping):
        return dict(config or {})
    if not Path(config).is_file():
        raise RecipeError(f"deepspeed: no file {config!r}; `axolotl fetch deepspeed_configs` brings the usual ones.")
    try:
        values = json.loads(Path(config).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"deepspeed: {config!r} is not JSON ({error}); mend the file.") from None
    if not isinstance(values, Mapping):
        raise RecipeError(f"deepspeed: {config!r} holds no keys and values, but {values!r}; mend the file.")
    return dict(read_values({"deepspeed": values})["deepspeed"])

"""What EasyR1's keys may hold: each value is read as its key's type, or refused in a sentence."""

import math
from typing import Any

from grpo_plugin.convert.easyr1.flat_values import flatten
from grpo_plugin.convert.easyr1.known_keys import DEFAULTS, EARLIER
from grpo_plugin.errors import RecipeError

ESTIMATORS = ("grpo", "grpo_passk", "reinforce_plus_plus", "remax", "rloo", "gae")
LOSSES = ("default", "gspo", "gspo_token", "cispo", "sapo")

CHOICES: dict[str, tuple[str, ...]] = {
    "algorithm.adv_estimator": ESTIMATORS,
    "algorithm.kl_penalty": ("kl", "abs", "mse", "low_var_kl", "full"),
    "algorithm.kl_type": ("fixed", "adaptive"),
    "worker.actor.loss_type": LOSSES,
    "worker.actor.loss_avg_mode": ("token", "seq"),
    "worker.actor.optim.strategy": ("adamw", "adamw_bf16"),
    "worker.actor.optim.lr_scheduler_type": ("constant", "cosine"),
    "worker.rollout.name": ("vllm",),
    "worker.rollout.dtype": ("bf16", "bfloat16", "fp16", "float16", "fp32", "float32"),
    "trainer.logger": ("console", "file", "mlflow", "swanlab", "tensorboard", "wandb"),
}

# The types of keys that are unset by default; those of all others are seen from their default, or text.
_UNSET: dict[str, type] = {
    "data.mini_rollout_batch_size": int,
    "trainer.max_steps": int,
    "worker.actor.optim.lr_warmup_steps": int,
    "worker.actor.optim.min_lr_ratio": float,
    "worker.rollout.max_model_len": int,
    "worker.rollout.max_num_seqs": int,
}
_UNSETTABLE = ("data.train_files", "data.val_files", "data.min_pixels", "data.max_pixels")
_SEVERAL = ("data.train_files", "data.val_files", "trainer.logger", "worker.actor.optim.betas")

_AT_LEAST_1 = (
    "data.max_prompt_length",
    "data.max_response_length",
    "data.rollout_batch_size",
    "trainer.n_gpus_per_node",
    "trainer.nnodes",
    "worker.actor.global_batch_size",
    "worker.actor.micro_batch_size_per_device_for_update",
    "worker.actor.ppo_epochs",
    "worker.rollout.n",
    "worker.rollout.tensor_parallel_size",
)

KNOWN: dict[str, Any] = {**dict(flatten(DEFAULTS)), **EARLIER}


def read_value(key: str, name: str, value: Any) -> Any:
    """The value of a known key, in its type.

    Args:
        name: the key as its author wrote it.

    Raises:
        RecipeError: it cannot be that key's.
    """
    if value is None and (KNOWN[key] is None or key in _UNSETTABLE):
        return KNOWN[key] if key.endswith("_files") else None
    value = [_one(key, name, one) for one in value] if _is_several(key, value) else _one(key, name, value)
    if key in _AT_LEAST_1 and value < 1:
        raise RecipeError(f"{name}: {value} is too small; it is at least 1.")
    if key == "worker.actor.optim.betas" and (not isinstance(value, list) or len(value) != 2):
        raise RecipeError(f"{name}: expected two numbers such as [0.9, 0.999], got {value!r}.")
    return value


def _is_several(key: str, value: Any) -> bool:
    return key in _SEVERAL and isinstance(value, (list, tuple))


def _one(key: str, name: str, value: Any) -> Any:
    value = _TYPED[_type(key)](name, value)
    if key in CHOICES and value not in CHOICES[key]:
        raise RecipeError(f"{name}: {value!r} is unknown; known values: {', '.join(CHOICES[key])}.")
    return value


def _type(key: str) -> type:
    default = KNOWN[key]
    if key == "worker.actor.optim.betas":
        return float
    if default is None:
        return _UNSET.get(key, str)
    return str if key in _SEVERAL else type(default)


def _flag(name: str, value: Any) -> bool:
    words = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
    if str(value).lower() not in words:
        raise RecipeError(f"{name}: {value!r} is neither true nor false; write one of them.")
    return words[str(value).lower()]


def _whole(name: str, value: Any) -> int:
    number = _number(name, value, "whole number")
    if not number.is_integer():
        raise RecipeError(f"{name}: expected a whole number, got {value!r}.")
    return int(number)


def _number(name: str, value: Any, what: str = "number") -> float:
    """YAML 1.1 reads 1e-6 as text; EasyR1's schema makes it a number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RecipeError(f"{name}: expected a {what}, got {value!r}.")
    return number


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, (list, dict)):
        raise RecipeError(f"{name}: expected text, got {value!r}.")
    return str(value)


def _open(name: str, value: Any) -> dict[str, Any]:
    """An empty mapping; a filled one is read as its leaves."""
    if value:
        raise RecipeError(f"{name}: expected keys and values, got {value!r}.")
    return {}


_TYPED: dict[type, Any] = {bool: _flag, int: _whole, float: _number, str: _text, dict: _open}

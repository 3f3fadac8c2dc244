"""The algorithm that TRL's own keys describe, as TRL 1.9 reads them. No torch here: `plan` reads this."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from grpo_plugin.algorithms.presets import PRESETS, Preset
from grpo_plugin.config.algorithm import AlgorithmConfig, Correction
from grpo_plugin.config.defaults import value_or
from grpo_plugin.errors import RecipeError, suggestion

# Keys of `trl:` that the `algorithm:` block decides, and by which of its keys.
DECIDED = {
    "beta": "kl_coef",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "importance_sampling_level": "loss",
    "loss_type": "name",
    "mask_truncated_completions": "overlong",
    "multi_objective_aggregation": "advantage",
    "vllm_importance_sampling_correction": "correction",
    "vllm_importance_sampling_mode": "correction",
    "vllm_importance_sampling_cap": "correction",
    "vllm_importance_sampling_clip_min": "correction",
    "vllm_importance_sampling_clip_max": "correction",
}

# Terms of TRL's loss that this trainer does not have: without them it would be another algorithm.
MISSING = ("entropy_coef", "use_adaptive_entropy", "off_policy_mask_threshold", "use_bias_correction_kl")

# TRL's loss types; each is the preset of that name. The others need an `algorithm:` block.
_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")
_SCALED = {"group": "grpo", "batch": "grpo_batch", "none": "dr_grpo"}  # estimator, by trl.scale_rewards
_SEQUENCE_LOSSES = {"ppo": "gspo", "cispo": "cispo_sequence", "sapo": "sapo_sequence"}  # token level: sequence level
_AGGREGATIONS = ("sum_then_normalize", "normalize_then_sum")
_CORRECTION_MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


def algorithm_of(trl: Mapping[str, Any]) -> tuple[Preset, AlgorithmConfig]:
    """What a recipe without an `algorithm:` block trains: TRL's loss types, as the keys of `trl:` set them.

    Departure: a mean over the tokens of a micro-batch (`bnpo`) is one over those of the whole step.

    Raises:
        RecipeError: a value that TRL does not know either.
    """
    name = _one_of(trl, "loss_type", "dapo", _LOSSES)
    preset = PRESETS[name]
    low = float(value_or(trl, "epsilon", 0.2))
    high = float(value_or(trl, "epsilon_high", low))
    given: dict[str, Any] = {
        "advantage": _estimator(trl),
        "kl_coef": float(value_or(trl, "beta", 0.0)),
        "dynamic_sampling": False,
        "overlong": "mask" if trl.get("mask_truncated_completions") else "keep",
    }
    if name == "cispo":  # TRL's epsilon_high is the bound itself, and there is no lower one
        given["clip_high"] = high - 1.0
    elif preset.clip_low is not None:
        given |= {"clip_low": low, "clip_high": high}
    if _one_of(trl, "importance_sampling_level", "token", ("token", "sequence")) == "sequence":
        given["loss"] = _SEQUENCE_LOSSES.get(preset.loss, preset.loss)
        given["ratio"] = "sequence" if preset.loss in _SEQUENCE_LOSSES else preset.ratio
    config = {"correction": _correction(trl), "top_entropy_quantile": trl.get("top_entropy_quantile")}
    return replace(preset, **given), AlgorithmConfig.parse("trl", config)


def scaled_estimator(trl: Mapping[str, Any]) -> str:
    """The estimator that `scale_rewards` names: rewards less their group's mean, over a deviation or over none.

    Raises:
        RecipeError: another value than TRL's.
    """
    value = value_or(trl, "scale_rewards", "group")
    name = {"true": "group", "false": "none"}.get(str(value).lower(), str(value).lower())
    if name not in _SCALED:
        raise RecipeError(f"trl.scale_rewards: {value!r} is not known; known: {', '.join(_SCALED)}, true, false.")
    return _SCALED[name]


def _estimator(trl: Mapping[str, Any]) -> str:
    aggregation = _one_of(trl, "multi_objective_aggregation", "sum_then_normalize", _AGGREGATIONS)
    scaled = scaled_estimator(trl)
    return "gdpo" if aggregation == "normalize_then_sum" else scaled


def _correction(trl: Mapping[str, Any]) -> Any:
    """`auto` where no such key is set; else TRL's defaults for the others: sequence_mask with a cap of 3."""
    switch = trl.get("vllm_importance_sampling_correction")
    if switch is False:
        return False
    keys = ("mode", "cap", "clip_min", "clip_max")
    if switch is None and all(trl.get(f"vllm_importance_sampling_{key}") is None for key in keys):
        return "auto"
    mode = _one_of(trl, "vllm_importance_sampling_mode", "sequence_mask", _CORRECTION_MODES)
    level, _, kind = mode.partition("_")
    high = value_or(trl, "vllm_importance_sampling_cap", value_or(trl, "vllm_importance_sampling_clip_max", 3.0))
    return Correction.parse(
        "trl.vllm_importance_sampling",
        {"level": level, "mode": kind, "low": trl.get("vllm_importance_sampling_clip_min"), "high": high},
    )


def _one_of(trl: Mapping[str, Any], key: str, default: str, known: tuple[str, ...]) -> str:
    value = str(value_or(trl, key, default))
    if value not in known:
        raise RecipeError(f"trl.{key}: {value!r} is not known; {suggestion(value, known)}")
    return value

"""The algorithm of a run: its preset with what the recipe overrides, or what TRL's own keys say."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from grpo_plugin.algorithms.presets import PRESETS, Preset
from grpo_plugin.config.algorithm import AlgorithmConfig, Correction, DynamicSampling
from grpo_plugin.errors import RecipeError

# Keys of `trl:` that the `algorithm:` block decides, and by which of its keys.
DECIDED = {
    "beta": "kl_coef",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "importance_sampling_level": "loss",
    "loss_type": "name",
    "mask_truncated_completions": "overlong",
    "multi_objective_aggregation": "advantage",
    "scale_rewards": "advantage",
    "vllm_importance_sampling_correction": "correction",
    "vllm_importance_sampling_mode": "correction",
    "vllm_importance_sampling_cap": "correction",
    "vllm_importance_sampling_clip_min": "correction",
    "vllm_importance_sampling_clip_max": "correction",
}

# Terms of TRL's loss that this trainer does not have: to go on without them in silence would be another algorithm.
MISSING = ("entropy_coef", "use_adaptive_entropy", "off_policy_mask_threshold", "use_bias_correction_kl")

# Nothing here is averaged over a micro-batch: TRL's token mean of one (bnpo) is that of the whole step.
_ESTIMATORS = {"group": "grpo", "none": "dr_grpo"}  # by trl.scale_rewards


@dataclass(frozen=True)
class Algorithm:
    """What the trainer reads; `preset` carries the overrides, `config` what no preset has."""

    preset: Preset
    config: AlgorithmConfig

    @classmethod
    def of(cls, config: AlgorithmConfig) -> "Algorithm":
        """The preset that the block names, with its overrides."""
        names = {field.name for field in fields(Preset)} & config.model_fields_set
        given = {name: value for name in names if _counts(name, value := getattr(config, name))}
        if "dynamic_sampling" in given:
            given["dynamic_sampling"] = bool(given["dynamic_sampling"])
        return cls(replace(PRESETS[config.name], **given), config)

    @classmethod
    def from_trl(cls, trl: Mapping[str, Any]) -> "Algorithm":
        """What a recipe without an `algorithm:` block trains: TRL's loss types, as the keys of `trl:` set them.

        Raises:
            RecipeError: a loss type or a scaling of rewards that is not known here.
        """
        name, scale = trl.get("loss_type") or "dapo", str(trl.get("scale_rewards") or "group").lower()
        scale = {"true": "group", "false": "none"}.get(scale, scale)
        if name not in PRESETS or scale not in _ESTIMATORS:
            field, value = ("loss_type", name) if name not in PRESETS else ("scale_rewards", scale)
            raise RecipeError(f"trl.{field}: {value!r} is not known here; use an `algorithm:` block instead.")
        low = trl.get("epsilon") or 0.2
        given: dict[str, Any] = {
            "advantage": "gdpo"
            if trl.get("multi_objective_aggregation") == "normalize_then_sum"
            else _ESTIMATORS[scale],
            "kl_coef": float(trl.get("beta") or 0.0),
            "dynamic_sampling": False,
            "overlong": "mask" if trl.get("mask_truncated_completions") else "keep",
        }
        if name == "cispo":  # TRL's epsilon_high is the bound itself
            given["clip_high"] = float(trl.get("epsilon_high") or low) - 1.0
        elif PRESETS[name].clip_low is not None:
            given |= {"clip_low": float(low), "clip_high": float(trl.get("epsilon_high") or low)}
        if trl.get("importance_sampling_level") == "sequence" and PRESETS[name].loss == "ppo":
            given["loss"] = "gspo"
        return cls(replace(PRESETS[name], **given), AlgorithmConfig(correction="auto"))

    def check_names(self, base_dir: Path) -> None:
        """Import the user's own functions, from beside the recipe (`base_dir`) or the working directory.

        Raises:
            RecipeError: an estimator, a loss or a KL does not exist or cannot be imported.
        """
        from grpo_plugin.algorithms import advantages, kl, losses, registry

        sys.path += [root for root in map(str, (base_dir.resolve(), Path.cwd())) if root not in sys.path]
        advantages.inputs(self.preset.advantage)
        registry.resolve("loss", self.preset.loss, losses.KINDS)
        registry.resolve("kl_estimator", self.preset.kl_estimator, kl.ESTIMATORS)

    @property
    def uses_reference(self) -> bool:
        return self.preset.kl_coef > 0

    @property
    def kl_in_loss(self) -> bool:
        return self.uses_reference and self.preset.kl_placement == "loss"

    @property
    def kl_in_reward(self) -> bool:
        return self.uses_reference and self.preset.kl_placement == "reward"

    @property
    def filter(self) -> DynamicSampling | None:
        """How groups are chosen; None where every group is trained on."""
        if not self.preset.dynamic_sampling:
            return None
        return self.config.dynamic_sampling or DynamicSampling()

    def correction(self, differs: bool) -> Correction | None:
        """The weights to use; `differs`: the engine that samples may disagree with the trainer noticeably."""
        if self.config.correction == "auto":
            return Correction() if differs else None
        return self.config.correction or None

    def buffer(self, max_completion_length: int) -> int:
        """Tokens over which a soft punishment grows; DAPO has 4,096 of 20,480."""
        return self.config.overlong_buffer or max(1, max_completion_length // 5)


def _counts(name: str, value: Any) -> bool:
    """Whether a key that is present says something: null is a value for a clip bound alone."""
    return value is not None or name.startswith("clip_")


def of_recipe(config: AlgorithmConfig | None, trl: Mapping[str, Any]) -> Algorithm:
    """The algorithm of a run.

    Raises:
        RecipeError: a key of `trl:` that the block decides, or that means a term this trainer's loss does not have.
    """
    for key in MISSING:
        if trl.get(key):
            raise RecipeError(f"trl.{key}: {trl[key]!r} is a term that the loss of these plugins lacks; remove it.")
    if config is None and trl.get("use_liger_loss"):
        raise RecipeError("trl.use_liger_loss: needs to know the algorithm; add AlgorithmPlugin and its block.")
    if config is None:
        return Algorithm.from_trl(trl)
    for key, ours in DECIDED.items():
        if trl.get(key) is not None:
            raise RecipeError(f"trl.{key}: is decided by the algorithm block; remove it, or set algorithm.{ours}.")
    return Algorithm.of(config)


def biased_sampling(trl: Mapping[str, Any]) -> str | None:
    """Why importance ratios are biased, if sampling leaves out tokens that the policy gives a probability."""
    cuts = {"top_p": (trl.get("top_p") or 1.0) < 1.0, "top_k": (trl.get("top_k") or 0) > 0, "min_p": trl.get("min_p")}
    cut = next((key for key, cuts_off in cuts.items() if cuts_off), None)
    if cut is None:
        return None
    return (
        f"trl.{cut}: {trl[cut]} leaves out tokens that the policy could draw, so that its importance ratios are biased "
        "and the gap to vLLM grows; training samples best without it."
    )

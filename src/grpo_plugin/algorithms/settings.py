"""The algorithm of a run: its preset with what the recipe overrides, or what TRL's own keys say. No torch at load."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from grpo_plugin.algorithms import trl_keys
from grpo_plugin.algorithms.presets import PRESETS, Preset
from grpo_plugin.config.algorithm import AlgorithmConfig, Correction, DynamicSampling
from grpo_plugin.config.defaults import value_or
from grpo_plugin.errors import RecipeError

_BUFFER_SHARE = 5  # DAPO's penalty grows over 4,096 of 20,480 tokens: a fifth


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

    def check_names(self, base_dir: Path) -> None:
        """Import the user's own functions, from beside the recipe (`base_dir`) or the working directory.

        Raises:
            RecipeError: an estimator, a loss or a KL does not exist or cannot be imported, or the estimator takes
                neither a KL in the reward nor an overlong penalty though the recipe asks for one.
        """
        from grpo_plugin.algorithms import advantages, kl, losses, registry

        sys.path += [root for root in map(str, (base_dir.resolve(), Path.cwd())) if root not in sys.path]
        advantages.check_inputs(self.preset.advantage, kl=self.kl_in_reward, overlong=self.preset.overlong == "soft")
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

    @property
    def entropy_share(self) -> float:
        """The share of tokens, those of highest entropy, that the policy gradient is taken on; 1 for all of them."""
        share = self.config.top_entropy_quantile
        return 1.0 if share is None else share

    def correction(self, differs: bool) -> Correction | None:
        """The weights to use; `differs`: the sampler's log-probabilities may differ noticeably from the trainer's."""
        if self.config.correction == "auto":
            return Correction() if differs else None
        return self.config.correction or None

    def buffer(self, max_completion_length: int) -> int:
        """Tokens over which a soft overlong penalty grows.

        Raises:
            RecipeError: more of them than a completion may have.
        """
        buffer = self.config.overlong_buffer
        if buffer is None:
            return max(1, max_completion_length // _BUFFER_SHARE)
        if buffer > max_completion_length:
            raise RecipeError(
                f"algorithm.overlong_buffer: {buffer} tokens; choose 1 to {max_completion_length}, "
                "the longest completion."
            )
        return buffer


def _counts(name: str, value: Any) -> bool:
    """Whether a key that is present says something: null is a value for a clip bound alone."""
    return value is not None or name.startswith("clip_")


def of_recipe(config: AlgorithmConfig | None, trl: Mapping[str, Any]) -> Algorithm:
    """The algorithm of a run.

    Raises:
        RecipeError: a key of `trl:` that the block decides or that means a term this trainer's loss does not have, or
            a KL that cannot be where the recipe puts it.
    """
    for key in trl_keys.MISSING:
        if trl.get(key):
            raise RecipeError(f"trl.{key}: {trl[key]!r} is a term that the loss of these plugins lacks; remove it.")
    if config is None and trl.get("use_liger_loss"):
        raise RecipeError("trl.use_liger_loss: needs to know the algorithm; add AlgorithmPlugin and its block.")
    if config is None:
        return Algorithm(*trl_keys.algorithm_of(trl))
    for key, ours in trl_keys.DECIDED.items():
        if trl.get(key) is not None:
            raise RecipeError(f"trl.{key}: is decided by the algorithm block; remove it, or set algorithm.{ours}.")
    algorithm = _with_entropy(_with_scaling(Algorithm.of(config), trl), trl)
    _check_kl_placement(algorithm)
    return algorithm


def _with_scaling(algorithm: Algorithm, trl: Mapping[str, Any]) -> Algorithm:
    """`trl.scale_rewards` beside the block: it chooses among the preset's estimator and those that scale otherwise."""
    if trl.get("scale_rewards") is None:
        return algorithm
    estimator, preset = trl_keys.scaled_estimator(trl), algorithm.preset
    if preset.advantage == estimator or (preset.advantage == "grpo" and algorithm.config.advantage is None):
        return replace(algorithm, preset=replace(preset, advantage=estimator))
    raise RecipeError(
        f"trl.scale_rewards: {trl['scale_rewards']!r} contradicts the algorithm block, whose advantage is "
        f"{preset.advantage!r}; remove it, or set algorithm.advantage: {estimator}."
    )


def _with_entropy(algorithm: Algorithm, trl: Mapping[str, Any]) -> Algorithm:
    """`trl.top_entropy_quantile` beside the block, which may say it itself."""
    share = trl.get("top_entropy_quantile")
    if share is None or algorithm.config.top_entropy_quantile is not None:
        return algorithm
    values = {**algorithm.config.model_dump(exclude_unset=True), "top_entropy_quantile": share}
    return replace(algorithm, config=AlgorithmConfig.parse("trl", values))


def _check_kl_placement(algorithm: Algorithm) -> None:
    if not algorithm.kl_in_reward:
        return
    preset = algorithm.preset
    if preset.kl_estimator == "full":
        raise RecipeError(
            f"algorithm.kl_estimator: 'full' cannot be used in the reward, where {algorithm.config.name!r} as set here "
            "has its KL; use kl_placement: loss, or k1."
        )
    if preset.advantage == "gdpo":
        raise RecipeError(
            "algorithm.kl_placement: 'reward' does not reach advantage 'gdpo', which normalises each reward function "
            "by itself; use 'loss'."
        )


def biased_sampling(trl: Mapping[str, Any]) -> str | None:
    """Why importance ratios are biased, if sampling leaves out tokens that the policy gives a probability."""
    cuts = {
        "top_p": value_or(trl, "top_p", 1.0) < 1.0,
        "top_k": value_or(trl, "top_k", 0) > 0,
        "min_p": value_or(trl, "min_p", 0.0) > 0.0,
    }
    cut = next((key for key, cuts_off in cuts.items() if cuts_off), None)
    if cut is None:
        return None
    return (
        f"trl.{cut}: {trl[cut]} leaves out tokens that the policy could sample, so that importance ratios are biased "
        "and the gap to vLLM grows; remove it for training."
    )

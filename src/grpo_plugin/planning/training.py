"""How the trainer holds the model: precision, optimizer, sharding, adapter. Read from a recipe's values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grpo_plugin.algorithms.presets import PRESETS
from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.model_sizes import ModelShape
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.deepspeed import read_deepspeed
from grpo_plugin.recipe.length_budget import longest_completion

Sharding = Literal["none", "zero1", "zero2", "zero3", "fsdp"]

# Bytes of optimizer state per byte of parameter; those that keep their state in a type of their own stand below.
_STATES_LIKE_PARAMETERS = {"sgd": 1, "muon": 1, "dion": 1, "lion_pytorch": 1, "flash_lion": 1, "adafactor": 0}
_OWN_STATES = {"adamw_bnb_8bit": 2, "adamw_8bit": 2, "paged_adamw_8bit": 2, "ao_adamw_8bit": 2, "ao_adamw_4bit": 1}
_ADAM = 2
ADAPTER_BYTES = 4  # PEFT keeps adapters in fp32


@dataclass(frozen=True)
class Training:
    """What the trainer's memory depends on.

    Attributes:
        weight_bytes: per parameter of the model as loaded.
        optimizer: Axolotl's name.
        sharding: what is divided over the trainer's GPUs: ZeRO's stage, or FSDP.
        masters: the optimizer keeps fp32 copies of 16-bit parameters (DeepSpeed's do).
        gathers_gradients: gradients are whole on every GPU while they accumulate (FSDP without sync_each_batch).
        lora_rank: 0 for full fine-tuning.
        lora_targets: names of linear layers; empty for all of them.
        freezes_vision: the vision encoder is not trained.
        checkpoints: activations are recomputed, layer by layer.
        reference: a second copy of the model is held, for the KL.
        tokens: in the longest micro-batch of one process.
    """

    weight_bytes: float
    optimizer: str
    sharding: Sharding
    masters: bool
    gathers_gradients: bool
    offloads_optimizer: bool
    offloads_weights: bool
    lora_rank: int
    lora_targets: tuple[str, ...]
    freezes_vision: bool
    checkpoints: bool
    reference: bool
    tokens: int

    @property
    def gradient_bytes(self) -> int:
        return ADAPTER_BYTES if self.lora_rank else int(min(self.weight_bytes, 4))

    @property
    def state_bytes(self) -> int:
        """Optimizer state per trained parameter, fp32 copies and Kahan's compensation included."""
        if self.masters:
            return 4 + 4 * _STATES_LIKE_PARAMETERS.get(self.optimizer, _ADAM)
        if self.optimizer in _OWN_STATES:
            return _OWN_STATES[self.optimizer]
        like = _STATES_LIKE_PARAMETERS.get(self.optimizer, _ADAM)
        compensation = 1 if self.keeps_small_updates and self.gradient_bytes == 2 else 0
        return (like + compensation) * self.gradient_bytes

    @property
    def keeps_small_updates(self) -> bool:
        """Whether an update smaller than the rounding of 16-bit weights still counts."""
        return self.masters or self.optimizer == "optimi_adamw" or self.weight_bytes != 2 or bool(self.lora_rank)

    def trained(self, shape: ModelShape) -> int:
        """Number of parameters that have a gradient."""
        if self.lora_rank:
            return shape.layers * sum(
                self.lora_rank * (width + out)
                for name, (width, out) in shape.matrices.items()
                if not self.lora_targets or name in self.lora_targets
            )
        tower = shape.vision.parameters if shape.vision and self.freezes_vision else 0
        return shape.parameters - tower


def from_recipe(recipe: Recipe) -> Training:
    values = recipe.values
    deepspeed = _deepspeed(values.get("deepspeed"))
    adapter = values.get("adapter")
    sharding = _sharding(values, deepspeed)
    half = _is_half(values)
    return Training(
        weight_bytes=_weight_bytes(values, half),
        optimizer=str(values.get("optimizer") or "adamw_torch_fused"),
        sharding=sharding,
        masters=bool(deepspeed) and half and not adapter,
        gathers_gradients=sharding == "fsdp" and not _syncs_each_batch(values),
        offloads_optimizer=_offload(deepspeed, "offload_optimizer") or _fsdp_offloads(values),
        offloads_weights=_offload(deepspeed, "offload_param") or _fsdp_offloads(values),
        lora_rank=(values.get("lora_r") or 8) if adapter else 0,
        lora_targets=_lora_targets(values),
        freezes_vision=bool(values.get("freeze_mm_modules")),
        checkpoints=bool(values.get("gradient_checkpointing") or _fsdp(values).get("activation_checkpointing")),
        reference=kl_coef(recipe) > 0 and not adapter,
        tokens=_longest_tokens(recipe),
    )


def kl_coef(recipe: Recipe) -> float:
    """Coefficient of the KL: the recipe's, else the one of its algorithm."""
    if recipe.algorithm is None:
        return recipe.trl.get("beta") or 0.0
    if recipe.algorithm.kl_coef is not None:
        return recipe.algorithm.kl_coef
    preset = PRESETS.get(recipe.algorithm.name)
    return preset.kl_coef if preset else 0.0


def longest_sequence(recipe: Recipe) -> tuple[int | None, int]:
    """The longest prompt (None without a limit) and the longest completion, in tokens."""
    prompt = recipe.prompts.max_length if recipe.prompts else None
    return prompt, longest_completion(recipe)


def _longest_tokens(recipe: Recipe) -> int:
    """Tokens of the longest micro-batch."""
    prompt, completion = longest_sequence(recipe)
    sequence = (prompt or recipe.values.get("sequence_len") or 512) + completion
    budget = recipe.algorithm.tokens_per_micro_batch if recipe.algorithm else None
    return max(budget, sequence) if budget else (recipe.values.get("micro_batch_size") or 1) * sequence


def _is_half(values: Mapping[str, Any]) -> bool:
    return any(values.get(key) for key in ("bf16", "fp16", "bfloat16", "float16"))


def _weight_bytes(values: Mapping[str, Any], half: bool) -> float:
    if values.get("load_in_4bit") or values.get("adapter") == "qlora":
        return 0.56  # four bits, and the scale of each block of 64
    if values.get("load_in_8bit"):
        return 1
    return 2 if half else 4


def _lora_targets(values: Mapping[str, Any]) -> tuple[str, ...]:
    targets = values.get("lora_target_modules")
    return tuple(targets) if isinstance(targets, list) and not values.get("lora_target_linear") else ()


def _fsdp(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values.get("fsdp_config") or {}


def _fsdp_offloads(values: Mapping[str, Any]) -> bool:
    return bool(_fsdp(values).get("offload_params"))


def _syncs_each_batch(values: Mapping[str, Any]) -> bool:
    accumulation = (values.get("accelerator_config") or {}).get("gradient_accumulation_kwargs") or {}
    steps = values.get("gradient_accumulation_steps") or 1
    return bool(accumulation.get("sync_each_batch")) or steps == 1


def _sharding(values: Mapping[str, Any], deepspeed: Mapping[str, Any]) -> Sharding:
    if _fsdp(values) or values.get("fsdp"):
        return "fsdp"
    stages: dict[int, Sharding] = {1: "zero1", 2: "zero2", 3: "zero3"}
    return stages.get((deepspeed.get("zero_optimization") or {}).get("stage") or 0, "none")


def _offload(deepspeed: Mapping[str, Any], what: str) -> bool:
    offload = (deepspeed.get("zero_optimization") or {}).get(what) or {}
    return offload.get("device") in ("cpu", "nvme")


def _deepspeed(config: Any) -> Mapping[str, Any]:
    """The configuration; empty for a file that cannot be read, which `missing_resources` reports."""
    try:
        return read_deepspeed(config)
    except RecipeError:
        return {}

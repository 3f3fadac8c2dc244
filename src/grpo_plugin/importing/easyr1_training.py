"""EasyR1's `worker.actor` and `trainer` sections: model, optimizer, sharding, logging and checkpoints."""

import re
from pathlib import PurePath
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.importing.draft import Draft
from grpo_plugin.importing.easyr1_data import has_images
from grpo_plugin.importing.easyr1_scale import Scale, put_batch

_MODEL, _LORA, _OPTIM = "worker.actor.model", "worker.actor.model.lora", "worker.actor.optim"

# Decoder layers (and blocks of the vision tower) that FSDP wraps, by what the model's name holds; the first that fits.
_LAYERS = (
    (r"qwen2\.5.*vl", "Qwen2_5_VLDecoderLayer,Qwen2_5_VLVisionBlock"),
    (r"qwen2.*vl", "Qwen2VLDecoderLayer,Qwen2VLVisionBlock"),
    (r"qwen3.*vl.*a\d+b", "Qwen3VLMoeTextDecoderLayer,Qwen3VLMoeVisionBlock"),
    (r"qwen3.*vl", "Qwen3VLTextDecoderLayer,Qwen3VLVisionBlock"),
    (r"qwen3.*a\d+b", "Qwen3MoeDecoderLayer"),
    (r"qwen3", "Qwen3DecoderLayer"),
    (r"qwen2|qwq", "Qwen2DecoderLayer"),
    (r"llama", "LlamaDecoderLayer"),
    (r"gemma-?3", "Gemma3DecoderLayer"),
    (r"gemma-?2", "Gemma2DecoderLayer"),
    (r"mistral", "MistralDecoderLayer"),
)


def model(draft: Draft) -> None:
    """Model, adapter, and what of it is trained.

    Raises:
        RecipeError: there is no model.
    """
    if not draft.source[f"{_MODEL}.model_path"]:
        raise RecipeError("worker.actor.model.model_path: missing; name a model, in the file or on the command line.")
    draft.move(f"{_MODEL}.model_path", "base_model")
    draft.move(f"{_MODEL}.tokenizer_path", "tokenizer_config")
    if draft.source[f"{_MODEL}.trust_remote_code"]:
        draft.put("trust_remote_code", True, f"{_MODEL}.trust_remote_code")
    draft.put("overrides_of_model_config", draft.source[f"{_MODEL}.override_config"] or None, "override_config")
    draft.put("processor_type", "AutoProcessor" if has_images(draft) else None, "the model reads images")
    if draft.source[f"{_MODEL}.freeze_vision_tower"]:
        draft.put("freeze_mm_modules", True, f"{_MODEL}.freeze_vision_tower")
    _adapter(draft)


def _adapter(draft: Draft) -> None:
    rank = int(draft.source[f"{_LORA}.rank"])
    if not rank:
        for key in ("rank", "alpha", "target_modules", "exclude_modules"):
            draft.leave(f"{_LORA}.{key}", "rank 0: the whole model is trained")
        return
    draft.put("adapter", "lora", f"{_LORA}.rank")
    draft.put("lora_r", rank, f"{_LORA}.rank")
    draft.move(f"{_LORA}.alpha", "lora_alpha")
    draft.put("lora_dropout", 0.0, "PEFT's default in EasyR1")
    _targets(draft)


def _targets(draft: Draft) -> None:
    targets, excluded = str(draft.source[f"{_LORA}.target_modules"]), draft.source[f"{_LORA}.exclude_modules"]
    if targets != "all-linear":
        names = [name.strip() for name in targets.split(",") if name.strip()]
        draft.put("lora_target_modules", names, f"{_LORA}.target_modules")
        draft.leave(f"{_LORA}.exclude_modules", "Axolotl has no such key; target_modules names what is adapted")
    elif has_images(draft) and excluded:
        text = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
        draft.put("lora_target_modules", text, f"{_LORA}.target_modules without {excluded}")
    else:
        draft.put("lora_target_linear", True, f"{_LORA}.target_modules: all-linear")
        draft.leave(f"{_LORA}.exclude_modules", "the model has nothing to exclude")


def optimizer(draft: Draft, size: Scale) -> None:
    """Batch, precision, optimizer, schedule, length of the run."""
    put_batch(draft, size)
    draft.put("bf16", True, "worker.actor.fsdp.mp_param_dtype")
    if "adapter" in draft.values:
        draft.put("optimizer", "adamw_torch_fused", "the adapter is fp32")
        draft.leave(f"{_OPTIM}.strategy", "the adapter is fp32, and AdamW loses nothing")
    else:
        draft.put("optimizer", "optimi_adamw", "pip install torch-optimi")
        draft.leave(f"{_OPTIM}.strategy", "optimi_adamw on bf16 weights follows AdamW on fp32 ones, in half the memory")
    draft.move(f"{_OPTIM}.lr", "learning_rate")
    beta1, beta2 = draft.source[f"{_OPTIM}.betas"]
    draft.put("adam_beta1", beta1, f"{_OPTIM}.betas")
    draft.put("adam_beta2", beta2, f"{_OPTIM}.betas")
    draft.put("adam_epsilon", 1.0e-8, "PyTorch's default")
    draft.move(f"{_OPTIM}.weight_decay", "weight_decay")
    draft.move("worker.actor.max_grad_norm", "max_grad_norm")
    _schedule(draft, size)
    checkpoints = draft.source[f"{_MODEL}.enable_gradient_checkpointing"]
    draft.put("gradient_checkpointing", checkpoints or None, f"{_MODEL}.enable_gradient_checkpointing")
    draft.put("gradient_checkpointing_kwargs", {"use_reentrant": False} if checkpoints else None)
    _length(draft, size)


def _schedule(draft: Draft, size: Scale) -> None:
    kind, steps = draft.source[f"{_OPTIM}.lr_scheduler_type"], draft.source[f"{_OPTIM}.lr_warmup_steps"]
    ratio = draft.source[f"{_OPTIM}.lr_warmup_ratio"]
    warms = bool(steps or ratio)
    draft.put(
        "lr_scheduler", "constant_with_warmup" if kind == "constant" and warms else kind, f"{_OPTIM}.lr_scheduler_type"
    )
    if steps is not None:
        draft.put("warmup_steps", int(steps) * size.steps, f"{_OPTIM}.lr_warmup_steps × {size.steps} optimizer steps")
    elif ratio:
        draft.put("warmup_ratio", ratio, f"{_OPTIM}.lr_warmup_ratio")
    if kind == "cosine":
        draft.put("cosine_min_lr_ratio", draft.source[f"{_OPTIM}.min_lr_ratio"], f"{_OPTIM}.min_lr_ratio")
    else:
        draft.leave(f"{_OPTIM}.min_lr_ratio", "belongs to the cosine schedule")


def _length(draft: Draft, size: Scale) -> None:
    draft.move("trainer.total_epochs", "num_epochs")
    if limit := draft.source["trainer.max_steps"]:
        draft.put("max_steps", limit * size.steps, f"trainer.max_steps × {size.steps} optimizer steps")


def sharding(draft: Draft, size: Scale) -> None:
    """FSDP 2 where several GPUs train the whole model; and what has no counterpart."""
    full = draft.source["worker.actor.fsdp.enable_full_shard"]
    offload = draft.source["worker.actor.fsdp.enable_cpu_offload"]
    first = draft.source["worker.actor.fsdp.enable_rank0_init"]
    if size.processes > 1 and "adapter" not in draft.values:
        draft.put("fsdp_version", 2, "worker.actor.strategy: fsdp")
        draft.put("fsdp_config", _fsdp(str(draft.values["base_model"]), full, offload, first), "worker.actor.fsdp")
        draft.put("accelerator_config", {"gradient_accumulation_kwargs": {"sync_each_batch": True}}, "less memory")
    else:
        for key in ("enable_full_shard", "enable_cpu_offload", "enable_rank0_init"):
            draft.leave(f"worker.actor.fsdp.{key}", "every GPU that trains holds the whole model")
    _left(draft)


def _fsdp(name: str, full: bool, offload: bool, first: bool) -> dict[str, Any]:
    layers = next((layer for pattern, layer in _LAYERS if re.search(pattern, name, re.IGNORECASE)), None)
    config = {
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": layers,
        "reshard_after_forward": full,
        "offload_params": offload,
        "cpu_ram_efficient_loading": first,
        "state_dict_type": "FULL_STATE_DICT",
    }
    return {key: value for key, value in config.items() if value is not None}


def _left(draft: Draft) -> None:
    actor = "worker.actor"
    reasons = {
        "worker.hybrid_engine": "trainer and vLLM have GPUs of their own",
        f"{actor}.strategy": "FSDP 2 is used where several GPUs train the whole model",
        f"{actor}.padding_free": "sequences are always packed without padding",
        f"{actor}.ulysses_size": "sequences are not divided over GPUs; every GPU holds whole ones",
        f"{actor}.use_torch_compile": "it compiles EasyR1's own kernels; torch_compile: true would compile the model",
        f"{actor}.dynamic_batching": "micro-batches are counted in completions; see algorithm.tokens_per_micro_batch",
        f"{actor}.fsdp.use_orig_params": "FSDP 2 always keeps parameters as they are",
        f"{actor}.fsdp.torch_dtype": "weights are bf16; optimi_adamw carries what rounding would lose",
        f"{actor}.fsdp.fsdp_size": "the model is divided over all GPUs that train; dp_shard_size changes that",
        f"{actor}.fsdp.mp_param_dtype": "bf16: true",
        f"{actor}.fsdp.mp_reduce_dtype": "gradients are reduced in the type of the weights",
        f"{actor}.fsdp.mp_buffer_dtype": "buffers keep their type",
    }
    for key, reason in reasons.items():
        draft.leave(key, reason)
    draft.leave_all(f"{actor}.offload", "the trainer shares no GPU with vLLM, so nothing has to make room")
    draft.leave_all("worker.ref", "the reference model is divided as the policy is")


def logging(draft: Draft, size: Scale) -> None:
    """Validation, checkpoints, trackers, and where things go."""
    _validation(draft, size)
    draft.put("logging_steps", 1, "EasyR1 logs every step")
    _checkpoints(draft, size)
    _trackers(draft)
    draft.leave("trainer.nnodes", "given to the command: --num-machines")
    draft.leave("trainer.n_gpus_per_node", "given to the command: --num-processes")
    draft.leave("trainer.ray_timeline", "Ray is not used")
    draft.leave("trainer.critic_warmup", "no algorithm here has a critic")


def _validation(draft: Draft, size: Scale) -> None:
    every = int(draft.source["trainer.val_freq"])
    draft.move("trainer.val_before_train", "validation.before_train")
    if every > 0:
        draft.put("validation.every", every * size.steps, f"trainer.val_freq × {size.steps} optimizer steps")
    draft.leave("trainer.val_only", "`axolotl grpo` judges a model without training it")
    draft.leave("trainer.val_generations_to_log", "every generation is kept, in output_dir/generations")


def _checkpoints(draft: Draft, size: Scale) -> None:
    source = draft.source
    every, keep = int(source["trainer.save_freq"]), int(source["trainer.save_limit"])
    if every > 0:
        draft.put("save_steps", every * size.steps, f"trainer.save_freq × {size.steps} optimizer steps")
        draft.put("save_total_limit", keep if keep > 0 else None, "trainer.save_limit")
    else:
        draft.put("save_strategy", "no", "trainer.save_freq: -1; the last model is always saved")
        draft.leave("trainer.save_limit", "no checkpoints are saved on the way")
    draft.put("save_only_model", source["trainer.save_model_only"] or None, "trainer.save_model_only")
    project, name = source["trainer.project_name"], source["trainer.experiment_name"]
    folder = source["trainer.save_checkpoint_path"] or str(PurePath("outputs") / str(project) / str(name))
    draft.put("output_dir", folder, "trainer.save_checkpoint_path, project_name, experiment_name")
    if source["trainer.load_checkpoint_path"]:
        draft.leave("trainer.load_checkpoint_path", "EasyR1's checkpoints have another format; merge it to a model")
    elif source["trainer.find_last_checkpoint"]:
        draft.put("auto_resume_from_checkpoints", True, "trainer.find_last_checkpoint")


def _trackers(draft: Draft) -> None:
    trackers = draft.source["trainer.logger"]
    trackers = [trackers] if isinstance(trackers, str) else list(trackers)
    project, name = draft.source["trainer.project_name"], draft.source["trainer.experiment_name"]
    if "wandb" in trackers:
        draft.put("wandb_project", project, "trainer.logger, project_name")
        draft.put("wandb_name", name, "trainer.experiment_name")
    draft.put("use_tensorboard", True if "tensorboard" in trackers else None, "trainer.logger")
    if "mlflow" in trackers:
        draft.put("use_mlflow", True, "trainer.logger")
        draft.put("mlflow_experiment_name", name, "trainer.experiment_name")
    if others := [tracker for tracker in trackers if tracker not in _TRACKERS]:
        draft.leave("trainer.logger", f"{', '.join(others)} is a plugin of Axolotl; add it to `plugins`")


_TRACKERS = ("console", "file", "wandb", "tensorboard", "mlflow")

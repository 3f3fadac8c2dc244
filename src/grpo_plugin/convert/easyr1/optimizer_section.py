"""EasyR1's `worker.actor.optim` and the length of the run: precision, optimizer, schedule, steps."""

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.convert.easyr1.scale import Scale

_OPTIM = "worker.actor.optim"


def optimizer(draft: Draft, size: Scale) -> None:
    """Precision, optimizer, schedule, gradient checkpointing, length of the run."""
    _adamw(draft)
    _schedule(draft, size)
    key = "worker.actor.model.enable_gradient_checkpointing"
    checkpoints = draft.source[key]
    draft.put("gradient_checkpointing", checkpoints or None, key)
    draft.put("gradient_checkpointing_kwargs", {"use_reentrant": False} if checkpoints else None)
    draft.move("trainer.total_epochs", "num_epochs")
    _steps(draft, "max_steps", "trainer.max_steps", size)


def _adamw(draft: Draft) -> None:
    draft.put("bf16", True, "worker.actor.fsdp.mp_param_dtype")
    if "adapter" in draft.values:
        draft.put("optimizer", "adamw_torch_fused", f"{_OPTIM}.strategy", note="; the adapter is fp32")
    else:
        note = "; as precise as fp32 weights in half the memory; needs: pip install torch-optimi"
        draft.put("optimizer", "optimi_adamw", f"{_OPTIM}.strategy", note=note)
    draft.move(f"{_OPTIM}.lr", "learning_rate")
    for number, beta in enumerate(draft.source[f"{_OPTIM}.betas"], 1):
        draft.put(f"adam_beta{number}", beta, f"{_OPTIM}.betas")
    draft.put("adam_epsilon", 1.0e-8, note="PyTorch's default")
    draft.move(f"{_OPTIM}.weight_decay", "weight_decay")
    draft.move("worker.actor.max_grad_norm", "max_grad_norm")


def _schedule(draft: Draft, size: Scale) -> None:
    kind, steps = draft.source[f"{_OPTIM}.lr_scheduler_type"], draft.source[f"{_OPTIM}.lr_warmup_steps"]
    ratio = draft.source[f"{_OPTIM}.lr_warmup_ratio"]
    warms = kind == "constant" and bool(steps or ratio)
    draft.put("lr_scheduler", "constant_with_warmup" if warms else kind, f"{_OPTIM}.lr_scheduler_type")
    _steps(draft, "warmup_steps", f"{_OPTIM}.lr_warmup_steps", size)
    if steps is None:
        draft.put("warmup_ratio", ratio or None, f"{_OPTIM}.lr_warmup_ratio")
    else:
        draft.drop(f"{_OPTIM}.lr_warmup_ratio", "lr_warmup_steps takes precedence")
    if kind == "cosine":
        draft.move(f"{_OPTIM}.min_lr_ratio", "cosine_min_lr_ratio")
    else:
        draft.drop(f"{_OPTIM}.min_lr_ratio", "belongs to the cosine schedule", same_at=None)


def _steps(draft: Draft, key: str, origin: str, size: Scale) -> None:
    count = draft.source[origin]
    note = f" × {size.steps_per_rollout} optimizer steps"
    draft.put(key, None if count is None else count * size.steps_per_rollout, origin, note=note)

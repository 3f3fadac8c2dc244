"""Warnings about a run that would start: too little memory, updates lost to rounding, idle GPUs."""

from collections.abc import Iterator
from math import ceil

from grpo_plugin.planning.cpu_problems import too_large
from grpo_plugin.planning.idle import idle_warning
from grpo_plugin.planning.machine import GIB, USABLE, card
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.problems import over_positions, positions_of

SMALL_LEARNING_RATE = 5e-5
LONG = 8192  # tokens; for longer sequences vLLM reserves memory that shorter ones would need


def warnings_of(plan: Plan) -> list[str]:
    """One sentence for each, with its remedy; empty if there is none."""
    of_machine = [*_memory(plan), *_idle(plan)] if plan.machine.gpus else _main_memory(plan)
    return [*of_machine, *_gradients(plan), *_rounding(plan), *_lengths(plan)]


def _memory(plan: Plan) -> Iterator[str]:
    machine = plan.machine
    if plan.trainer and plan.trainer.total > machine.usable:
        yield (
            f"The trainer needs about {plan.trainer.total / GIB:.1f} GiB per GPU, and of {machine.gpu_memory / GIB:.0f}"
            f" GiB {machine.usable / GIB:.1f} are usable (driver and fragments take {1 - USABLE:.0%}); "
            f"{', or '.join(_smaller(plan)) or 'use a smaller model'}."
        )
    if plan.serving and plan.serving.needs() > machine.gpu_memory:
        yield (
            f"vLLM needs about {plan.serving.needs() / GIB:.0f} GiB per GPU for the weights and one sequence of "
            "full length; raise vllm.tensor_parallel_size, or lower vllm.max_model_len."
        )


def _main_memory(plan: Plan) -> Iterator[str]:
    needed, there = plan.main_memory, plan.machine.memory
    if plan.model and not plan.model.exact and (sentence := too_large(plan.recipe, plan.machine, plan.model)):
        yield sentence
    if needed and there and needed.least <= there < needed.most:
        yield (
            f"The run may need {needed.most / GIB:.1f} GiB of memory where every sequence is at its limit, and this "
            f"machine has {there / GIB:.1f}; lower micro_batch_size or trl.max_completion_length if the system ends it."
        )


def _smaller(plan: Plan) -> Iterator[str]:
    """Ways to need less memory per GPU, or to have more of it."""
    assert plan.trainer is not None
    if plan.batch.micro > 1:
        yield "lower micro_batch_size"
    if (least := plan.least_trainers) and least > plan.batch.processes:
        yield from _more_gpus(plan, least)
    elif plan.training.sharding == "none" and plan.batch.processes > 1:
        yield "divide the model (fsdp_config)"
    if larger := card(plan.trainer.total, above=plan.machine.gpu_memory):
        yield f"use GPUs of {larger} GiB"
    if not plan.training.lora_rank:
        yield "train an adapter (adapter: lora)"


def _more_gpus(plan: Plan, least: int) -> Iterator[str]:
    """Advice to use more GPUs: of this machine if it has enough beside vLLM's, else of more machines like it."""
    here, nodes = plan.machine.gpus - plan.serving_gpus, plan.machine.nodes
    if here < 1:
        return
    if least <= here * nodes:
        yield f"train on {ceil(least / nodes) * nodes} GPUs (--num-processes)"
    else:
        yield f"train on {ceil(least / here)} such machines (--nodes)"


def _gradients(plan: Plan) -> Iterator[str]:
    if plan.training.gathers_gradients and plan.batch.processes > 1:
        yield (
            "FSDP keeps whole gradients on every GPU while they accumulate; accelerator_config: "
            "{gradient_accumulation_kwargs: {sync_each_batch: true}} divides them."
        )


def _rounding(plan: Plan) -> Iterator[str]:
    rate = plan.recipe.values.get("learning_rate") or 0
    if 0 < rate < SMALL_LEARNING_RATE and not plan.training.keeps_small_updates:
        yield (
            f"optimizer: {plan.training.optimizer} on 16-bit weights rounds most updates away at learning_rate "
            f"{rate:g}; use optimi_adamw, which carries what is lost (pip install torch-optimi), or DeepSpeed."
        )


def _lengths(plan: Plan) -> Iterator[str]:
    if plan.serving is None or plan.model is None:
        return
    if not plan.model.exact and (sentence := over_positions(plan.model, plan.recipe)):
        yield sentence
    own = positions_of(plan.model, plan.recipe) or 0
    if plan.serving.sequence is None and own > LONG:
        yield (
            f"prompts.max_length is not set, so vLLM is started for sequences of {own} tokens; set it, or "
            "vllm.max_model_len."
        )


def _idle(plan: Plan) -> Iterator[str]:
    if sentence := idle_warning(plan):
        yield sentence

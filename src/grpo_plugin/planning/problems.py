"""What in a recipe cannot work on a machine, and what would work badly, before anything is loaded."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.model_shapes import Model, find_model
from grpo_plugin.planning.training import longest_sequence
from grpo_plugin.recipe.batch_arithmetic import Batch, batch_of_values, batch_problems
from grpo_plugin.recipe.length_budget import model_length
from grpo_plugin.recipe.recipe import Recipe, absences
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server

# Of Axolotl's own rollout, which the trainer of this package replaces.
_REPLACED = ("async_prefetch", "use_data_producer", "streaming_partial_batch", "replay_buffer_size", "vllm_lora_sync")


def problems(recipe: Recipe, machine: Machine) -> list[str]:
    """Why the run cannot start, each once, as field, value, what is known, remedy; empty if it can."""
    found = [
        *map(str, absences(recipe)),
        *_devices(recipe, machine),
        *batch_problems(batch_of(recipe, machine)),
        *_lengths(recipe),
        *_model(recipe),
        *_parallel(recipe.values),
        *_replaced(recipe),
    ]
    return list(dict.fromkeys(found))


def batch_of(recipe: Recipe, machine: Machine) -> Batch:
    """The batch, with as many processes as accelerate starts: one per GPU that is left; 1 on a CPU."""
    left = max(1, machine.gpus - serving_gpus(recipe)) * machine.nodes
    return batch_of_values(recipe.values, machine.num_processes or left)


def serving_gpus(recipe: Recipe) -> int:
    """GPUs that vLLM takes on the first machine."""
    if not recipe.serves:
        return 0
    return (recipe.vllm.get("tensor_parallel_size") or 1) * (recipe.vllm.get("data_parallel_size") or 1)


def plan_of_server(recipe: Recipe, machine: Machine) -> ServerPlan | None:
    """The server, and the GPUs of this machine; None if the recipe has no RolloutPlugin.

    Raises:
        RecipeError: GPUs, processes and recipe do not fit.
    """
    if recipe.rollout is None:
        return None
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(machine.gpus)))}
    here = None if machine.num_processes is None else machine.num_processes // machine.nodes
    return plan_server(
        recipe.values,
        recipe.rollout,
        environ,
        num_processes=here,
        uses_vllm=recipe.uses_vllm,
        serves_here=machine.rank == 0,
    )


def _devices(recipe: Recipe, machine: Machine) -> list[str]:
    processes, nodes = machine.num_processes, machine.nodes
    if processes is not None and processes % nodes:
        return [f"--num-processes={processes}: each of {nodes} machines needs the same; use a multiple of {nodes}."]
    if not machine.gpus and (processes or 1) > 1:
        return [
            f"--num-processes: got {processes}, but there is no GPU, and accelerate trains in one process then; "
            "use --num-processes=1."
        ]

    def check() -> None:
        plan = plan_of_server(recipe, machine)
        if plan is not None and recipe.serves and machine.rank == 0:
            plan.command(Path("/run/grpo"))

    return _raised(check)


def _lengths(recipe: Recipe) -> list[str]:
    prompt, completion = longest_sequence(recipe)
    return _raised(lambda: model_length(prompt, completion, recipe.vllm.get("max_model_len"))) if recipe.serves else []


def _raised(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except RecipeError as error:
        return [str(error)]
    return []


def _model(recipe: Recipe) -> Iterator[str]:
    model = find_model(str(recipe.values.get("base_model")))
    if model is None or not recipe.serves:
        return
    yield from _heads(model, recipe.vllm.get("tensor_parallel_size") or 1)
    if model.exact and (sentence := over_positions(model, recipe)):
        yield sentence


def _heads(model: Model, tensor: int) -> Iterator[str]:
    heads = model.shape.heads
    if heads % tensor:
        fits = ", ".join(str(size) for size in range(1, 17) if heads % size == 0)
        yield (
            f"vllm.tensor_parallel_size: {tensor} does not divide the model's {heads} attention heads, as vLLM needs; "
            f"use one of {fits}."
        )


def over_positions(model: Model, recipe: Recipe) -> str | None:
    """The sentence for sequences that are longer than the model was made for; None if there are none."""
    prompt, completion = longest_sequence(recipe)
    limit, positions = recipe.vllm.get("max_model_len"), model.shape.positions
    needed = limit or (prompt or 0) + completion
    if needed <= positions or not positions or _lengthened(recipe):
        return None
    field = "vllm.max_model_len" if limit else "prompts.max_length" if prompt else "trl.max_completion_length"
    known = (
        f"the model's {positions}, which vLLM refuses"
        if model.exact
        else f"the {positions} of {model.source}, which vLLM refuses if the model's config.json says so too"
    )
    return (
        f"{field}: sequences of {needed} tokens are over {known}; lower trl.max_completion_length or "
        "prompts.max_length."
    )


def _lengthened(recipe: Recipe) -> bool:
    """Whether the recipe gives the model more positions than its config.json does."""
    rollout = recipe.rollout
    told = rollout is not None and (
        rollout.env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") == "1"
        or any(word.startswith("--hf-overrides") for word in rollout.args)
    )
    return told or bool(recipe.values.get("overrides_of_model_config"))


def _parallel(values: Mapping[str, Any]) -> Iterator[str]:
    for key in ("context_parallel_size", "sequence_parallel_degree"):
        if (values.get(key) or 1) > 1:
            yield (
                f"{key}: {values[key]} divides sequences over GPUs, which GRPO's trainer cannot do; set it to 1, and "
                "shorten sequences or shard the model (fsdp_config) to save memory."
            )


def _replaced(recipe: Recipe) -> Iterator[str]:
    for key in _REPLACED:
        if recipe.trl.get(key):
            yield f"trl.{key}: belongs to Axolotl's own rollout, which RolloutPlugin replaces; remove it."
    if recipe.trl.get("vllm_mode") == "colocate":
        yield "trl.vllm_mode: 'colocate' shares GPUs between trainer and vLLM; here vLLM has its own; remove it."

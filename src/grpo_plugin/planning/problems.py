"""The reasons why a recipe cannot run on a machine, found without loading anything."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from grpo_plugin.config.rollout import RolloutConfig
from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.cpu_problems import cpu_problems, memory_problems
from grpo_plugin.planning.data_problems import data_problems
from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.model_shapes import Model, find_model
from grpo_plugin.planning.training import longest_sequence
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.batch_arithmetic import Batch, batch_of_values, batch_problems
from grpo_plugin.recipe.length_budget import model_length
from grpo_plugin.recipe.missing_resources import missing_resources
from grpo_plugin.recipe.positions import lifts_limit, positions, with_overrides
from grpo_plugin.rollout.server.server_plan import ServerPlan, plan_server


def problems(recipe: Recipe, machine: Machine) -> list[str]:
    """Why the run cannot start: one sentence for each reason, with field, value and remedy; empty if it can start."""
    found = [
        *map(str, missing_resources(recipe)),
        *_devices(recipe, machine),
        *batch_problems(batch_of(recipe, machine)),
        *_lengths(recipe),
        *_model(recipe),
        *data_problems(recipe),
        *cpu_problems(recipe, machine),
        *memory_problems(recipe, machine),
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
    if model is None:
        return
    if recipe.serves:
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
    """The sentence for sequences that are longer than the model takes; None if there are none.

    A server that runs elsewhere has limits that are not known here.
    """
    if recipe.uses_vllm and not recipe.serves:
        return None
    prompt, completion = longest_sequence(recipe)
    limit = recipe.vllm.get("max_model_len") if recipe.serves else None
    needed, allowed = limit or (prompt or 0) + completion, positions_of(model, recipe)
    if allowed is None or needed <= allowed or (recipe.rollout and (limit or prompt) and _lifts_limit(recipe.rollout)):
        return None
    field = "vllm.max_model_len" if limit else "prompts.max_length" if prompt else "trl.max_completion_length"
    known = f"the model's {allowed} positions" if model.exact else f"the {allowed} positions of {model.source}"
    refused = ", which vLLM refuses" if recipe.serves else ""
    unsure = " if the model's config.json says so too" if not model.exact else ""
    return (
        f"{field}: sequences of {needed} tokens are over {known}{refused}{unsure}; lower trl.max_completion_length or "
        "prompts.max_length."
    )


def positions_of(model: Model, recipe: Recipe) -> int | None:
    """The longest sequence that the model takes where it generates: in vLLM, or in the trainer."""
    if recipe.rollout and recipe.serves:
        return positions(model.config, recipe.rollout.args)
    return positions(with_overrides(model.config, recipe.values.get("overrides_of_model_config") or {}))


def _lifts_limit(rollout: RolloutConfig) -> bool:
    return lifts_limit({**os.environ, **rollout.env})

"""GPUs that neither train nor serve, and the nearest sizes that use all.

Every machine trains on the same number of GPUs, as accelerate needs, and vLLM serves on the first: as many GPUs as it
takes there stay idle on each other machine.
"""

from collections.abc import Iterator
from dataclasses import replace

from grpo_plugin.planning.plan import Plan
from grpo_plugin.recipe.batch_arithmetic import Batch, batch_problems, fitting_sizes


def idle_gpus(plan: Plan) -> int:
    """Of all machines; 0 where more processes were asked for than there are GPUs."""
    machine = plan.machine
    return max(0, machine.gpus * machine.nodes - plan.serving_gpus - plan.batch.processes)


def idle_warning(plan: Plan) -> str | None:
    """The sentence that names them and the sizes that leave none; None if there are none."""
    idle, machine = idle_gpus(plan), plan.machine
    if not idle:
        return None
    of = f"{idle} of {machine.gpus * machine.nodes} GPUs have nothing to do"
    ways = list(_on_several(plan) if machine.nodes > 1 else _on_one(plan))
    return f"{of}; {', or '.join(ways)}."


def _on_one(plan: Plan) -> Iterator[str]:
    gpus, serving, processes = plan.machine.gpus, plan.serving_gpus, plan.batch.processes
    if gpus > serving:
        yield f"use {_with_processes(plan.batch, gpus - serving)}"
    per_copy = plan.recipe.vllm.get("tensor_parallel_size") or 1
    if serving and (gpus - processes) % per_copy == 0 and plan.recipe.rollout and plan.recipe.rollout.gpus is None:
        yield f"serve with them (vllm.data_parallel_size: {(gpus - processes) // per_copy})"
    yield f"ask for {processes + serving} GPUs"


def _on_several(plan: Plan) -> Iterator[str]:
    """More processes as far as each machine has GPUs for them; with a server elsewhere all train."""
    machine, serving = plan.machine, plan.serving_gpus
    most = (machine.gpus - serving) * machine.nodes
    if plan.batch.processes < most:
        left = serving * (machine.nodes - 1)
        rest = f", which leaves {left} idle" if left else ""
        yield f"use {_with_processes(plan.batch, most)}{rest}"
    if serving:
        every = machine.gpus * machine.nodes
        yield (
            f"serve vLLM on another machine (rollout.url) and use {_with_processes(plan.batch, every)}, because the "
            f"{serving} GPU(s) that it takes of the first stay idle on the others"
        )
    each = plan.batch.processes // machine.nodes + serving
    if each < machine.gpus:
        yield f"ask for {each} GPUs per machine"


def _with_processes(batch: Batch, processes: int) -> str:
    """`--num-processes=7`, and the batch that goes with it where this one does not."""
    changed = replace(batch, processes=processes)
    if not batch_problems(changed):
        return f"--num-processes={processes}"
    return f"--num-processes={processes} with {fitting_sizes(changed)}"

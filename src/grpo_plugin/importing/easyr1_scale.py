"""How many GPUs train and serve, and batches that the trainers can share."""

from dataclasses import dataclass
from math import lcm

from grpo_plugin.importing.draft import Draft

_SERVED_BY = 4  # of so many GPUs one serves, where EasyR1 spreads vLLM over all


@dataclass(frozen=True)
class Scale:
    """All counts as in a recipe.

    Attributes:
        processes: of the trainer, on all machines.
        serving: GPUs of vLLM, on the first.
        steps: optimizer steps per rollout batch, over all its epochs; EasyR1 counts rollout batches.
        wanted: completions per optimizer step in EasyR1, where `per_step` is what `processes` can share.
    """

    nodes: int
    processes: int
    serving: int
    micro: int
    accumulation: int
    generations: int
    rollouts: int
    epochs: int
    wanted: int

    @property
    def per_step(self) -> int:
        return self.processes * self.micro * self.accumulation

    @property
    def per_rollout(self) -> int:
        return self.per_step * self.rollouts

    @property
    def steps(self) -> int:
        return self.rollouts * self.epochs


def scale(draft: Draft) -> Scale:
    """Split the GPUs, round the batches, and put both into the recipe."""
    source = draft.source
    nodes, gpus = int(source["trainer.nnodes"]), int(source["trainer.n_gpus_per_node"])
    serving = min(int(source["worker.rollout.tensor_parallel_size"]), max(1, gpus // _SERVED_BY))
    processes = max(1, gpus - serving) * nodes
    generations = max(2, int(source["worker.rollout.n"]))
    micro = int(source["worker.actor.micro_batch_size_per_device_for_update"])
    prompts = int(source["worker.actor.global_batch_size"])
    whole = lcm(generations, processes * micro)
    wanted = prompts * generations
    size = Scale(
        nodes=nodes,
        processes=processes,
        serving=serving,
        micro=micro,
        accumulation=max(1, round(wanted / whole)) * whole // (processes * micro),
        generations=generations,
        rollouts=max(1, int(source["data.rollout_batch_size"]) // prompts),
        epochs=int(source["worker.actor.ppo_epochs"]),
        wanted=wanted,
    )
    draft.leave(
        "worker.actor.micro_batch_size_per_device_for_experience",
        "log-probabilities are computed in the micro-batches of the update",
    )
    return size


def put_batch(draft: Draft, size: Scale) -> None:
    """The batch keys, with what EasyR1 asked for beside them."""
    prompts = size.per_step // size.generations
    asked = f"{draft.source['worker.actor.global_batch_size']} prompts per step in EasyR1"
    draft.put("trl.num_generations", size.generations, "worker.rollout.n")
    draft.put("trl.generation_batch_size", size.per_rollout, f"data.rollout_batch_size; {size.rollouts} steps")
    draft.put("trl.num_iterations", size.epochs if size.epochs > 1 else None, "worker.actor.ppo_epochs")
    draft.put("micro_batch_size", size.micro, "worker.actor.micro_batch_size_per_device_for_update")
    draft.put("gradient_accumulation_steps", size.accumulation, f"{prompts} prompts per step; {asked}")

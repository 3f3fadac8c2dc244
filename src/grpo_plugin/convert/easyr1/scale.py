"""How many GPUs train and serve, and batches that the trainers can share."""

from dataclasses import dataclass
from math import lcm

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.batch_arithmetic import Batch

_SERVED_BY = 4  # of so many GPUs one serves, where EasyR1 spreads vLLM over all
_COMPARING = ("grpo", "grpo_passk", "rloo")  # estimators that EasyR1 refuses for single completions
_UPDATE = "worker.actor.micro_batch_size_per_device_for_update"


@dataclass(frozen=True)
class Scale:
    """Machines, GPUs and batch of a recipe.

    Attributes:
        nodes: machines.
        gpus: of each machine in EasyR1, where trainer and vLLM take turns.
        serving: GPUs of vLLM, on the first machine.
        batch: of the recipe; EasyR1 counts rollout batches where a recipe counts optimizer steps.
    """

    nodes: int
    gpus: int
    serving: int
    batch: Batch

    @property
    def processes(self) -> int:
        """Of the trainer, on all machines."""
        return self.batch.processes

    @property
    def steps_per_rollout(self) -> int:
        """Optimizer steps per rollout batch, over all its epochs."""
        return int(self.batch.steps_per_rollout)

    @property
    def gpus_of_first(self) -> int:
        """GPUs that the recipe needs on the first machine."""
        return self.processes // self.nodes + self.serving


def scale(draft: Draft) -> Scale:
    """Split the GPUs and round the batches.

    Raises:
        RecipeError: one completion per prompt, for an estimator that compares those of a prompt.
    """
    source = draft.source
    nodes, gpus, micro = source["trainer.nnodes"], source["trainer.n_gpus_per_node"], source[_UPDATE]
    serving = min(source["worker.rollout.tensor_parallel_size"], max(1, gpus // _SERVED_BY))
    processes = max(1, gpus - serving) * nodes
    generations = _generations(draft)
    prompts = source["worker.actor.global_batch_size"]
    whole = lcm(generations, processes * micro)
    for key in ("trainer.nnodes", "trainer.n_gpus_per_node"):
        draft.drop(key, "the command has it; the first lines say which GPU does what")
    per_step = max(1, round(prompts * generations / whole)) * whole
    batch = Batch(
        processes=processes,
        micro=micro,
        accumulation=per_step // (processes * micro),
        generations=generations,
        rollout=per_step * max(1, source["data.rollout_batch_size"] // prompts),
        iterations=source["worker.actor.ppo_epochs"],
    )
    return Scale(nodes, gpus, serving, batch)


def _generations(draft: Draft) -> int:
    number, estimator = draft.source["worker.rollout.n"], draft.source["algorithm.adv_estimator"]
    if number == 1 and estimator in _COMPARING:
        default = "" if "worker.rollout.n" in draft.source.spelling else " (the default)"
        raise RecipeError(
            f"worker.rollout.n: 1{default}, but algorithm.adv_estimator {estimator!r} compares the completions of a "
            "prompt; set 2 or more, such as 5."
        )
    return max(2, int(number))


def put_batch(draft: Draft, batch: Batch) -> None:
    """The batch keys, with what EasyR1 asked for beside them."""
    source = draft.source
    alone = ": 1; a prompt has at least 2 completions here" if source["worker.rollout.n"] == 1 else ""
    draft.put("trl.num_generations", batch.generations, "worker.rollout.n", note=alone)
    per_rollout = _prompts(batch.prompts_per_rollout, source["data.rollout_batch_size"])
    note = f": {per_rollout}, {batch.minibatches} optimizer steps"
    draft.put("trl.generation_batch_size", batch.per_rollout, "data.rollout_batch_size", note=note)
    draft.put("trl.num_iterations", batch.iterations if batch.iterations > 1 else None, "worker.actor.ppo_epochs")
    draft.move(_UPDATE, "micro_batch_size")
    per_step = _prompts(int(batch.prompts_per_step), source["worker.actor.global_batch_size"])
    draft.put("gradient_accumulation_steps", batch.accumulation, "worker.actor.global_batch_size", note=f": {per_step}")
    draft.drop(
        "worker.actor.micro_batch_size_per_device_for_experience",
        "log-probabilities are computed in the micro-batches of the update",
    )


def _prompts(here: int, there: int) -> str:
    return f"{here} prompts" if here == there else f"{here} prompts, the nearest to {there} that the GPUs can share"

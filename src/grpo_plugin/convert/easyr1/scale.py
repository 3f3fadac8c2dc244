"""How many GPUs train and serve, and batches that the trainers can share."""

from dataclasses import dataclass
from math import lcm

from grpo_plugin.convert.easyr1.draft import Draft
from grpo_plugin.errors import RecipeError

_SERVED_BY = 4  # of so many GPUs one serves, where EasyR1 spreads vLLM over all
_COMPARING = ("grpo", "grpo_passk", "rloo")  # estimators that EasyR1 refuses for single completions
_UPDATE = "worker.actor.micro_batch_size_per_device_for_update"


@dataclass(frozen=True)
class Scale:
    """All counts as in a recipe.

    Attributes:
        gpus: of each machine in EasyR1, where trainer and vLLM take turns.
        processes: of the trainer, on all machines.
        serving: GPUs of vLLM, on the first.
        steps: optimizer steps per rollout batch, over all its epochs; EasyR1 counts rollout batches.
    """

    nodes: int
    gpus: int
    processes: int
    serving: int
    micro: int
    accumulation: int
    generations: int
    rollouts: int
    epochs: int

    @property
    def per_step(self) -> int:
        return self.processes * self.micro * self.accumulation

    @property
    def per_rollout(self) -> int:
        return self.per_step * self.rollouts

    @property
    def steps(self) -> int:
        return self.rollouts * self.epochs

    @property
    def here(self) -> int:
        """GPUs of the first machine."""
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
        draft.leave(key, "the command has it; the first lines say which GPU does what")
    return Scale(
        nodes=nodes,
        gpus=gpus,
        processes=processes,
        serving=serving,
        micro=micro,
        accumulation=max(1, round(prompts * generations / whole)) * whole // (processes * micro),
        generations=generations,
        rollouts=max(1, source["data.rollout_batch_size"] // prompts),
        epochs=source["worker.actor.ppo_epochs"],
    )


def _generations(draft: Draft) -> int:
    number, estimator = draft.source["worker.rollout.n"], draft.source["algorithm.adv_estimator"]
    if number == 1 and estimator in _COMPARING:
        default = "" if "worker.rollout.n" in draft.source.spelling else " (the default)"
        raise RecipeError(
            f"worker.rollout.n: 1{default}, but algorithm.adv_estimator {estimator!r} compares the completions of a "
            "prompt; set 2 or more, such as 5."
        )
    return max(2, int(number))


def put_batch(draft: Draft, size: Scale) -> None:
    """The batch keys, with what EasyR1 asked for beside them."""
    source = draft.source
    alone = ": 1; a prompt has at least 2 completions here" if source["worker.rollout.n"] == 1 else ""
    draft.put("trl.num_generations", size.generations, "worker.rollout.n", note=alone)
    per_rollout = _prompts(size.per_rollout // size.generations, source["data.rollout_batch_size"])
    note = f": {per_rollout}, {size.rollouts} optimizer steps"
    draft.put("trl.generation_batch_size", size.per_rollout, "data.rollout_batch_size", note=note)
    draft.put("trl.num_iterations", size.epochs if size.epochs > 1 else None, "worker.actor.ppo_epochs")
    draft.move(_UPDATE, "micro_batch_size")
    per_step = _prompts(size.per_step // size.generations, source["worker.actor.global_batch_size"])
    draft.put("gradient_accumulation_steps", size.accumulation, "worker.actor.global_batch_size", note=f": {per_step}")
    draft.leave(
        "worker.actor.micro_batch_size_per_device_for_experience",
        "log-probabilities are computed in the micro-batches of the update",
    )


def _prompts(here: int, there: int) -> str:
    return f"{here} prompts" if here == there else f"{here} prompts, the nearest to {there} that the GPUs can share"

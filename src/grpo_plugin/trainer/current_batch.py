"""The rollout batch that is being trained on: its training samples, and the micro-batches of this rank still to run."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.batch_arithmetic import Batch
from grpo_plugin.trainer.sample_builder import SampleBuilder
from grpo_plugin.trainer.training_sample import MicroBatch, TrainingSample


class CurrentBatch:
    """One rollout batch at a time.

    Args:
        builder: divides training samples into micro-batches.
        plan: optimizer steps and accumulation steps of a rollout batch.
    """

    def __init__(self, builder: SampleBuilder, plan: Batch) -> None:
        self._builder, self._plan = builder, plan
        self._samples: Sequence[TrainingSample] = ()
        self._remaining: deque[list[MicroBatch]] = deque()  # by accumulation step

    @property
    def is_used_up(self) -> bool:
        """Whether there is no accumulation step left."""
        return not self._remaining

    def begin(self, samples: Sequence[TrainingSample]) -> None:
        """Train on `samples`, those of all ranks, next."""
        self._samples = samples
        self._remaining = deque(self._micro_batches())

    def next_accumulation_step(self) -> list[MicroBatch]:
        """This rank's micro-batches of the next accumulation step."""
        return self._remaining.popleft()

    def state(self) -> dict[str, Any]:
        """For a checkpoint between two optimizer steps; the same on every rank."""
        steps_left = len(self._remaining) // self._plan.accumulation
        return {
            "samples": list(self._samples) if steps_left else [],
            "steps_left": steps_left,
            "per_step": self._plan.per_step,
            "per_rollout": self._plan.per_rollout,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the optimizer steps that were left, divided over as many ranks as there are now.

        Raises:
            RecipeError: a rollout batch or an optimizer step has another size now.
        """
        self._check_sizes(state)
        self._samples = state["samples"]
        left = state["steps_left"] * self._plan.accumulation
        self._remaining = deque(self._micro_batches()[-left:] if left else ())

    def _micro_batches(self) -> list[list[MicroBatch]]:
        plan = self._plan
        return self._builder.micro_batches(self._samples, plan.minibatches, plan.accumulation) * plan.iterations

    def _check_sizes(self, state: dict[str, Any]) -> None:
        plan = self._plan
        if state["per_step"] != plan.per_step:
            whole, rest = divmod(state["per_step"], plan.per_accumulation_step)
            remedy = f"set gradient_accumulation_steps: {whole}" if not rest else "use as many processes as before"
            raise RecipeError(
                f"gradient_accumulation_steps: {plan.accumulation} × micro_batch_size {plan.micro} × {plan.processes} "
                f"process(es) = {plan.per_step} completions per step, but the checkpoint was saved with "
                f"{state['per_step']}; {remedy}."
            )
        if state["per_rollout"] != plan.per_rollout:
            raise RecipeError(
                f"trl.generation_batch_size: {plan.per_rollout} completions, but the checkpoint was saved with "
                f"{state['per_rollout']}; set it to that."
            )

"""The arithmetic of a batch: prompts, completions, micro-batches, optimizer steps, and what must divide what.

The one place for it: `plan`, the plugins and the trainer compute with `Batch`. All counts are over all processes,
unless said otherwise. One rollout batch of `per_rollout` completions is generated, then trained on `iterations` times,
each time in `minibatches` optimizer steps of `per_step` completions. An optimizer step has `accumulation` accumulation
steps; in each, every process trains on one micro-batch of `micro` completions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, gcd, lcm
from typing import Any


@dataclass(frozen=True)
class Batch:
    """Sizes of rollout batch, optimizer step and micro-batch.

    Attributes:
        processes: of the trainer, on all machines.
        micro: `micro_batch_size`, completions per process and micro-batch.
        accumulation: `gradient_accumulation_steps`.
        generations: `trl.num_generations`, completions per prompt.
        rollout: `trl.generation_batch_size`, completions; None means one optimizer step per rollout batch.
        iterations: `trl.num_iterations`, how often a rollout batch is trained on.
    """

    processes: int
    micro: int = 1
    accumulation: int = 1
    generations: int = 8
    rollout: int | None = None
    iterations: int = 1

    @property
    def per_accumulation_step(self) -> int:
        """Completions in one micro-batch of each process together."""
        return self.processes * self.micro

    @property
    def per_step(self) -> int:
        """Completions per optimizer step."""
        return self.per_accumulation_step * self.accumulation

    @property
    def per_rollout(self) -> int:
        """Completions per rollout batch; at least those of one optimizer step, as the trainer generates them."""
        return max(self.rollout or 0, self.per_step)

    @property
    def prompts_per_rollout(self) -> int:
        """Prompts per rollout batch; 0 if it is smaller than one group, which `batch_problems` refuses."""
        return self.per_rollout // self.generations

    @property
    def prompts_per_step(self) -> Fraction:
        """Prompts per optimizer step."""
        return Fraction(self.per_step, self.generations)

    @property
    def minibatches(self) -> int:
        """Optimizer steps in one iteration over a rollout batch."""
        return self.per_rollout // self.per_step

    @property
    def steps_per_rollout(self) -> Fraction:
        """Optimizer steps per rollout batch, over all iterations; whole, unless `batch_problems` finds a problem."""
        return Fraction(self.iterations * self.per_rollout, self.per_step)

    def rollouts_per_epoch(self, rows: int) -> int:
        """Rollout batches in one pass over `rows` prompts; a last incomplete one is left out, as in TRL."""
        return rows // max(1, self.prompts_per_rollout)

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in one pass over `rows` prompts; 0 where these are fewer than one rollout batch takes."""
        return int(self.rollouts_per_epoch(rows) * self.steps_per_rollout)

    def accumulation_steps_per_epoch(self, rows: int) -> int:
        """Length of the trainer's data loader: accumulation steps in one pass over `rows` prompts.

        At least those of one rollout batch, for which prompts are repeated.
        """
        steps = max(1, self.rollouts_per_epoch(rows)) * self.minibatches * self.iterations
        return steps * self.accumulation

    def steps(self, rows: int | None, epochs: float | None, max_steps: int | None = None) -> int | None:
        """Optimizer steps of a run: `max_steps` where it is over 0, else those of the epochs, rounded up, at least 1.

        Args:
            rows: prompts in the training data; None if unknown.
            epochs: `num_epochs`; None means 1.

        Returns:
            None without both rows and max_steps.
        """
        if max_steps is not None and max_steps > 0:
            return max_steps
        if rows is None:
            return None
        return max(1, ceil(self.steps_per_epoch(rows) * (epochs or 1)))

    def passes_over_data(self, steps: int, rows: int) -> Fraction:
        """How many times `steps` optimizer steps go through `rows` prompts; the last prompts of one pass and the first
        of the next may share a rollout batch."""
        return steps / self.steps_per_rollout * Fraction(self.prompts_per_rollout, rows)


def batch_of_values(values: Mapping[str, Any], processes: int) -> Batch:
    """The batch of a recipe's values, with Axolotl's and TRL's defaults."""
    trl = values.get("trl") or {}
    micro = int(values.get("micro_batch_size") or 1)
    accumulation = values.get("gradient_accumulation_steps") or (values.get("batch_size") or micro) // micro
    return Batch(
        processes=processes,
        micro=micro,
        accumulation=int(accumulation or 1),
        generations=int(trl.get("num_generations") or 8),
        rollout=int(trl["generation_batch_size"]) if trl.get("generation_batch_size") else None,
        iterations=int(trl.get("num_iterations") or 1),
    )


def batch_of_arguments(args: Any, processes: int) -> Batch:
    """The batch of TRL's training arguments (`GRPOConfig`), as the trainer has them."""
    return Batch(
        processes=processes,
        micro=args.per_device_train_batch_size,
        accumulation=args.gradient_accumulation_steps,
        generations=args.num_generations,
        rollout=args.generation_batch_size,
        iterations=args.num_iterations,
    )


def batch_problems(batch: Batch) -> list[str]:
    """Sizes that do not divide each other, which Axolotl or TRL would refuse or round; each with values that fit."""
    if batch.generations < 2:
        return [
            f"trl.num_generations: {batch.generations} completion per prompt has nothing to compare; set 2 or more."
        ]
    return _rollout_problems(batch, batch.rollout) if batch.rollout else _step_problems(batch)


def _rollout_problems(batch: Batch, rollout: int) -> list[str]:
    whole = lcm(batch.generations, batch.per_accumulation_step)
    fits = nearest(rollout, lcm(whole, batch.per_step))
    where = f"trl.generation_batch_size: {rollout} completions"
    if rollout % batch.generations:
        return [
            f"{where} are not whole groups of trl.num_generations {batch.generations}; the nearest that fit: {fits}."
        ]
    if rollout % batch.per_accumulation_step:
        return [
            f"{where} cannot be shared by {batch.processes} process(es) in micro-batches of {batch.micro}; "
            f"the nearest that fit: {fits}."
        ]
    if rollout % batch.per_step and batch.per_step % rollout:
        return [
            f"{where} make {rollout / batch.per_step:.2f} optimizer steps of {batch.per_step}, so that a step "
            f"would mix two rollout batches; the nearest that fit: {fits}."
        ]
    return []


def _step_problems(batch: Batch) -> list[str]:
    """Without generation_batch_size, Axolotl checks the completions of one process: micro × accumulation."""
    step = batch.per_step
    where = (
        f"gradient_accumulation_steps: {batch.accumulation} × micro_batch_size {batch.micro} × "
        f"{batch.processes} process(es) = {step} completions per step"
    )
    if step % batch.generations:
        whole = batch.generations // gcd(batch.generations, batch.per_accumulation_step)
        return [
            f"{where} are not whole groups of trl.num_generations {batch.generations}; "
            f"the nearest accumulations that fit: {nearest(batch.accumulation, whole)}."
        ]
    alone = batch.micro * batch.accumulation
    if alone % batch.generations or (batch.processes > 1 and alone < batch.generations * batch.processes):
        return [
            f"{where}, which Axolotl refuses although its {step // batch.generations} groups are whole; "
            f"set trl.generation_batch_size: {step}."
        ]
    return []


def fitting_sizes(batch: Batch) -> str:
    """Sizes near the batch's own with which `batch_problems` finds none, as keys of the recipe with their values.

    With a rollout batch its size and the accumulation may change, without one the accumulation alone if that is enough.
    """
    whole = batch.generations // gcd(batch.generations, batch.per_accumulation_step)
    if not batch.rollout:
        sizes = [size for size in _around(batch.accumulation, whole) if size]
        fits = [size for size in sizes if not batch_problems(replace(batch, accumulation=size))]
        if fits:
            return f"gradient_accumulation_steps {' or '.join(map(str, fits))}"
        step = batch.per_accumulation_step * sizes[0]
        return f"gradient_accumulation_steps {sizes[0]} and trl.generation_batch_size {step}"
    wanted = batch.rollout
    minibatches = max(1, round(wanted / batch.per_step))
    accumulation = max(1, round(wanted / (minibatches * batch.per_accumulation_step)))
    sizes = [size for size in _around(accumulation, whole) if size]
    closest = min(sizes, key=lambda size: abs(batch.per_accumulation_step * size * minibatches - wanted))
    rollout = batch.per_accumulation_step * closest * minibatches
    return f"gradient_accumulation_steps {closest} and trl.generation_batch_size {rollout}"


def _around(value: int, multiple: int) -> tuple[int, int]:
    """The multiples of `multiple` on either side of `value`; the first may be 0."""
    below = value // multiple * multiple
    return below, below + multiple


def nearest(value: int, multiple: int) -> str:
    """The multiples of `multiple` on either side of `value`, in words."""
    below, above = _around(value, multiple)
    return f"{below} or {above}" if below else str(above)

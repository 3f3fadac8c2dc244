"""The arithmetic of a batch: prompts, completions, micro-batches, optimizer steps, and what must divide what.

All counts are over all processes, unless said otherwise. One rollout batch of `per_rollout` completions is generated,
then trained on in micro-batches; `accumulation` of them, on every process, make one optimizer step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd, lcm
from typing import Any


@dataclass(frozen=True)
class Batch:
    """How the recipe's keys play together.

    Attributes:
        processes: of the trainer, on all machines.
        micro: `micro_batch_size`, completions per process and forward pass.
        accumulation: `gradient_accumulation_steps`.
        generations: `trl.num_generations`, completions per prompt.
        rollout: `trl.generation_batch_size`; None means one optimizer step per rollout batch.
        iterations: `trl.num_iterations`, how often a rollout batch is trained on.
    """

    processes: int
    micro: int = 1
    accumulation: int = 1
    generations: int = 8
    rollout: int | None = None
    iterations: int = 1

    @property
    def per_pass(self) -> int:
        """Completions in one forward pass of all processes."""
        return self.processes * self.micro

    @property
    def per_step(self) -> int:
        """Completions per optimizer step."""
        return self.per_pass * self.accumulation

    @property
    def per_rollout(self) -> int:
        """Completions per rollout batch; one optimizer step's at least, as the trainer generates them."""
        return max(self.rollout or 0, self.per_step)

    @property
    def prompts_per_rollout(self) -> int:
        return self.per_rollout // self.generations

    @property
    def prompts_per_step(self) -> Fraction:
        return Fraction(self.per_step, self.generations)

    @property
    def passes_per_rollout(self) -> int:
        """Micro-batches that each process makes of a rollout batch, once through."""
        return self.per_rollout // self.per_pass

    @property
    def steps_per_rollout(self) -> Fraction:
        """Optimizer steps per rollout batch; a fraction where `batch_problems` has something to say."""
        return Fraction(self.iterations * self.per_rollout, self.per_step)

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in one pass over `rows` prompts; a last incomplete rollout batch is left out, as by TRL."""
        return int(rows // max(1, self.prompts_per_rollout) * self.steps_per_rollout)

    def steps(self, rows: int, epochs: float) -> int:
        """Optimizer steps of a run, as PromptPlugin tells Axolotl: one at least, and a part of one is one."""
        return max(1, ceil(self.steps_per_epoch(rows) * epochs))

    def passes(self, steps: int, rows: int) -> Fraction:
        """How often so many steps go through `rows` prompts; one pass flows on into the next."""
        return steps / self.steps_per_rollout * Fraction(self.prompts_per_rollout, rows)


def from_values(values: Mapping[str, Any], processes: int) -> Batch:
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


def batch_problems(batch: Batch) -> list[str]:
    """What Axolotl or TRL would refuse, or would make of the batch that nobody asked for; each with values that fit."""
    if batch.generations < 2:
        return [
            f"trl.num_generations: {batch.generations} completion per prompt has nothing to compare; set 2 or more."
        ]
    return _rollout_problems(batch, batch.rollout) if batch.rollout else _step_problems(batch)


def _rollout_problems(batch: Batch, rollout: int) -> list[str]:
    whole = lcm(batch.generations, batch.per_pass)
    fits = nearest(rollout, lcm(whole, batch.per_step))
    where = f"trl.generation_batch_size: {rollout} completions"
    if rollout % batch.generations:
        return [
            f"{where} are not whole groups of trl.num_generations {batch.generations}; the nearest that fit: {fits}."
        ]
    if rollout % batch.per_pass:
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
    """Without generation_batch_size Axolotl looks at one process alone: at micro × accumulation."""
    step = batch.per_step
    where = (
        f"gradient_accumulation_steps: {batch.accumulation} × micro_batch_size {batch.micro} × "
        f"{batch.processes} process(es) = {step} completions per step"
    )
    if step % batch.generations:
        whole = batch.generations // gcd(batch.generations, batch.per_pass)
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


def nearest(value: int, multiple: int) -> str:
    """The multiples of `multiple` on either side of `value`, in words."""
    below = value // multiple * multiple
    return f"{below} or {below + multiple}" if below else str(multiple)

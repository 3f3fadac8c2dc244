"""A recipe on a machine: roles, batch, memory, disk, command, problems and advice, all computed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.batch import Batch
from grpo_plugin.planning.disk import Disk, disk
from grpo_plugin.planning.known import Model, find_model
from grpo_plugin.planning.machine import GIB, Machine
from grpo_plugin.planning.memory import Estimate, trainer_memory
from grpo_plugin.planning.problems import batch_of, plan_of_server, problems_on, serving_gpus
from grpo_plugin.planning.serving import Serving, serving
from grpo_plugin.planning.training import Training, from_recipe, longest_sequence
from grpo_plugin.recipe import Recipe

CARDS = (16, 24, 32, 40, 48, 80, 96, 140, 180, 270)  # GiB of the GPUs one can rent
USABLE = 0.95  # of a GPU: drivers and the allocator's fragments take the rest
MOST_GPUS = 64
SMALL_LEARNING_RATE = 5e-5
LONG = 8192  # tokens; from here on vLLM reserves noticeably for sequences that never come


@dataclass(frozen=True)
class Plan:
    """What `axolotl grpo plan` shows; parts that need the model's shape are None where it is unknown.

    Args:
        rows: prompts in the training data, None if unknown.
        online: ask the hub for the model's config.json if it is known nowhere else.
    """

    recipe: Recipe
    machine: Machine
    rows: int | None = None
    online: bool = False

    @cached_property
    def batch(self) -> Batch:
        return batch_of(self.recipe, self.machine)

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the whole run; None without max_steps or the number of rows."""
        limit, epochs = self.recipe.values.get("max_steps"), float(self.recipe.values.get("num_epochs") or 1)
        whole = None if self.rows is None else int(self.batch.steps_per_epoch(self.rows) * epochs)
        return min(int(steps) for steps in (limit, whole) if steps) if limit or whole else None

    @property
    def serving_gpus(self) -> int:
        return serving_gpus(self.recipe)

    @cached_property
    def training(self) -> Training:
        return from_recipe(self.recipe)

    @cached_property
    def model(self) -> Model | None:
        return find_model(str(self.recipe.values["base_model"]), online=self.online)

    @cached_property
    def trainer(self) -> Estimate | None:
        return self.trainer_on(self.batch.processes if self.machine.gpus else 0)

    def trainer_on(self, gpus: int) -> Estimate | None:
        return trainer_memory(self.model.shape, self.training, gpus) if self.model else None

    @cached_property
    def serving(self) -> Serving | None:
        if self.model is None or not self.recipe.serves:
            return None
        prompt, completion = longest_sequence(self.recipe)
        return serving(self.model.shape, self.recipe.vllm, prompt + completion if prompt else None)

    @cached_property
    def disk(self) -> Disk | None:
        if self.model is None:
            return None
        sends_file = self.recipe.serves and self._sync == "file"
        return disk(self.model.shape, self.training, self.recipe.values, sends_file=sends_file)

    @property
    def _sync(self) -> str | None:
        try:
            plan = plan_of_server(self.recipe, self.machine)
        except RecipeError:
            return None
        return plan.sync if plan else None

    @cached_property
    def command(self) -> str | None:
        """vLLM's command as one line of shell; None without a server of this run's, or without room for one."""
        try:
            plan = plan_of_server(self.recipe, self.machine)
            return plan.command(Path("/run/grpo")).shell() if plan and self.recipe.serves else None
        except RecipeError:
            return None

    @cached_property
    def problems(self) -> list[str]:
        return problems_on(self.machine, self.recipe)

    @cached_property
    def advice(self) -> list[str]:
        return [*self._memory_advice(), *self._other_advice()]

    @property
    def card(self) -> int | None:
        """The smallest GPU (GiB) that holds trainer and server."""
        needs = [part for part in (self.trainer and self.trainer.total, self.serving and self.serving.needs()) if part]
        return next((size for size in CARDS if needs and max(needs) <= USABLE * size * GIB), None)

    @property
    def least_trainers(self) -> int | None:
        """The fewest GPUs of this memory that the trainer fits on."""
        for gpus in range(1, MOST_GPUS + 1):
            estimate = self.trainer_on(gpus)
            if estimate and estimate.total <= USABLE * self.machine.gpu_memory:
                return gpus
        return None

    def _memory_advice(self) -> Iterator[str]:
        if self.machine.gpus and self.trainer and self.trainer.total > USABLE * self.machine.gpu_memory:
            yield (
                f"The trainer needs about {self.trainer.total / GIB:.0f} GiB per GPU and there are "
                f"{self.machine.gpu_memory / GIB:.0f}; {self._smaller()}."
            )
        if self.machine.gpus and self.serving and self.serving.needs() > self.machine.gpu_memory:
            yield (
                f"vLLM needs about {self.serving.needs() / GIB:.0f} GiB per GPU for the weights and one sequence of "
                "full length; raise vllm.tensor_parallel_size, or lower vllm.max_model_len."
            )
        if self.training.gathers_gradients and self.batch.processes > 1:
            yield (
                "FSDP keeps whole gradients on every GPU while they accumulate; accelerator_config: "
                "{gradient_accumulation_kwargs: {sync_each_batch: true}} divides them."
            )

    def _smaller(self) -> str:
        ways = ["train an adapter (adapter: lora)"]
        if self.batch.micro > 1:
            ways.insert(0, "lower micro_batch_size")
        if (least := self.least_trainers) and least > self.batch.processes:
            ways.insert(0, f"train on {least} GPUs")
        elif self.training.sharding == "none" and self.batch.processes > 1:
            ways.insert(0, "divide the model (fsdp_config)")
        return ", or ".join(ways)

    def _other_advice(self) -> Iterator[str]:
        rate = float(self.recipe.values.get("learning_rate") or 0)
        if 0 < rate < SMALL_LEARNING_RATE and not self.training.keeps_small_updates:
            yield (
                f"optimizer: {self.training.optimizer} on 16-bit weights rounds most updates away at learning_rate "
                f"{rate:g}; use optimi_adamw, which carries what is lost (pip install torch-optimi), or DeepSpeed."
            )
        if self.serving and self.serving.sequence is None and self.model and self.model.shape.positions > LONG:
            yield (
                f"prompts.max_length is not set, so vLLM is started for sequences of {self.model.shape.positions} "
                "tokens; set it, or vllm.max_model_len."
            )
        if self.machine.gpus and self.batch.processes < (self.machine.gpus - self.serving_gpus) * self.machine.nodes:
            idle = self.machine.gpus * self.machine.nodes - self.serving_gpus - self.batch.processes
            yield f"{idle} GPU(s) have nothing to do; raise --num-processes."

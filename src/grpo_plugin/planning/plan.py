"""A recipe on a machine: roles, batch, memory, disk, command and problems, all computed."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grpo_plugin.errors import RecipeError
from grpo_plugin.planning.disk import Disk, disk
from grpo_plugin.planning.machine import Machine, card
from grpo_plugin.planning.main_memory import MainMemory, main_memory, process_memory
from grpo_plugin.planning.memory import Estimate, trainer_memory
from grpo_plugin.planning.model_shapes import Model, find_model
from grpo_plugin.planning.problems import batch_of, plan_of_server, problems, serving_gpus
from grpo_plugin.planning.serving import Serving, serving
from grpo_plugin.planning.training import Training, from_recipe, longest_sequence
from grpo_plugin.recipe import Recipe
from grpo_plugin.recipe.batch_arithmetic import Batch

MOST_GPUS = 64


@dataclass(frozen=True)
class Plan:
    """What `axolotl grpo plan` shows; parts that need the model's sizes are None where these are not known.

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
        """Optimizer steps of the run; None without `max_steps` and without the number of rows."""
        return self.batch.steps(self.rows, self.epochs, self.recipe.values.get("max_steps"))

    @property
    def epochs(self) -> float:
        return self.recipe.values.get("num_epochs") or 1

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
        """Of each process of the trainer."""
        if self.machine.gpus or self.model is None:
            return self.trainer_on(self.batch.processes)
        return process_memory(self.model.shape, self.training, self.machine)

    def trainer_on(self, gpus: int) -> Estimate | None:
        return trainer_memory(self.model.shape, self.training, gpus) if self.model else None

    @cached_property
    def serving(self) -> Serving | None:
        if self.model is None or not self.recipe.serves:
            return None
        prompt, completion = longest_sequence(self.recipe)
        return serving(self.model.shape, self.recipe.vllm, prompt + completion if prompt else None)

    @cached_property
    def main_memory(self) -> MainMemory | None:
        """Of the run on a machine without a GPU."""
        if self.model is None:
            return None
        return main_memory(self.recipe, self.machine, self.model.shape)

    @cached_property
    def disk(self) -> Disk | None:
        if self.model is None:
            return None
        sends_file = self.recipe.serves and self._sync == "file"
        return disk(self.model, self.training, self.recipe.values, sends_file=sends_file)

    @property
    def _sync(self) -> str | None:
        try:
            plan = plan_of_server(self.recipe, self.machine)
        except RecipeError:
            return None
        return plan.sync if plan else None

    @cached_property
    def command(self) -> str | None:
        """vLLM's command as a line of shell; None if this run starts no server, or none fits the machine."""
        try:
            plan = plan_of_server(self.recipe, self.machine)
            return plan.command(Path("/run/grpo")).shell() if plan and self.recipe.serves else None
        except RecipeError:
            return None

    @cached_property
    def problems(self) -> list[str]:
        return problems(self.recipe, self.machine)

    @property
    def card(self) -> int | None:
        """Memory (GiB) of the smallest GPU on which trainer and server fit; None if there is none."""
        needs = [part for part in (self.trainer and self.trainer.total, self.serving and self.serving.needs()) if part]
        return card(max(needs)) if needs else None

    @property
    def least_trainers(self) -> int | None:
        """The smallest number of such GPUs on which the trainer fits; None if it is over MOST_GPUS."""
        for gpus in range(1, MOST_GPUS + 1):
            estimate = self.trainer_on(gpus)
            if estimate and estimate.total <= self.machine.usable:
                return gpus
        return None

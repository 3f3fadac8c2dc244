"""The plan's steps are the run's: held against PromptPlugin, our data loader and transformers' Trainer."""

from math import isclose
from types import SimpleNamespace

import pytest

from grpo_plugin.planning.machine import Machine
from grpo_plugin.planning.plan import Plan
from grpo_plugin.planning.plan_text import report
from grpo_plugin.recipe.batch_arithmetic import Batch

# rows, epochs, completions per rollout batch (None: one optimizer step's 16), iterations
RUNS = [
    (100, 1, None, 1),
    (3, 2, None, 1),
    (10, 0.75, None, 1),
    (10, 4, None, 1),
    (7, 1.5, None, 3),
    (101, 2.5, 64, 1),
    (33, 0.3, 32, 2),
    (1, 1, 64, 1),
    (27, 1, 8, 2),
]


def planned(recipe, rows, epochs, rollout, iterations, **changes):
    """Groups of 4, 16 completions per optimizer step."""
    trl = {"num_generations": 4, "max_completion_length": 28, "num_iterations": iterations}
    trl |= {"generation_batch_size": rollout} if rollout else {}
    return Plan(recipe(trl=trl, num_epochs=epochs, **changes), Machine(2, 1), rows=rows)


def steps_of_prompt_plugin(values, rows, monkeypatch):
    """What PromptPlugin tells Axolotl, which passes it to the trainer as max_steps."""
    from axolotl.utils.dict import DictDefault

    from grpo_plugin.compat import cpu_ranks
    from grpo_plugin.plugins import PromptPlugin

    monkeypatch.setattr(cpu_ranks, "apply", lambda cfg: None)
    monkeypatch.setenv("WORLD_SIZE", "1")
    plugin = PromptPlugin()
    plugin.run = SimpleNamespace(load_prompts=lambda cfg: SimpleNamespace(train=range(rows)))
    return plugin.load_datasets(DictDefault(dict(values))).total_num_steps


def trainer_of(batch: Batch, rows: int):
    """As much of the trainer as counts: its data loader, and transformers' arithmetic on it."""
    from transformers import Trainer

    from grpo_plugin.trainer.trainer import PolicyTrainer

    args = SimpleNamespace(gradient_accumulation_steps=batch.accumulation, max_steps=-1, num_train_epochs=1.0)
    stub = SimpleNamespace(
        args=args,
        train_dataset=range(rows),
        batch_plan=batch,
        get_total_train_batch_size=lambda args: batch.per_step,
        get_sp_size=lambda: 1,
        num_examples=lambda loader: len(loader.dataset),
    )
    loader = PolicyTrainer.get_train_dataloader(stub)

    def steps(epochs: float) -> int:
        args.num_train_epochs = epochs
        return Trainer.set_initial_training_values(stub, args, loader)[-1]

    return steps


@pytest.mark.parametrize(("rows", "epochs", "rollout", "iterations"), RUNS)
def test_the_steps_are_those_that_the_trainer_is_given(recipe, monkeypatch, rows, epochs, rollout, iterations):
    plan = planned(recipe, rows, epochs, rollout, iterations)
    assert plan.steps == steps_of_prompt_plugin(plan.recipe.values, rows, monkeypatch)


@pytest.mark.parametrize(("rows", "epochs", "rollout", "iterations"), [run for run in RUNS if run[0] >= 16])
def test_the_steps_are_those_that_transformers_would_count(recipe, rows, epochs, rollout, iterations):
    plan = planned(recipe, rows, epochs, rollout, iterations)
    assert plan.steps == trainer_of(plan.batch, rows)(epochs)
    assert plan.batch.steps_per_epoch(rows) == trainer_of(plan.batch, rows)(1)


@pytest.mark.parametrize("limit", [5, 500])
def test_max_steps_goes_before_the_epochs(recipe, monkeypatch, limit):
    plan = planned(recipe, 100, 2, None, 1, max_steps=limit)
    assert plan.steps == limit == steps_of_prompt_plugin(plan.recipe.values, 100, monkeypatch)
    assert Plan(plan.recipe, plan.machine).steps == limit
    assert Plan(recipe(), Machine(2, 1)).steps is None
    assert Plan(recipe(max_steps=-1), Machine(2, 1), rows=100).steps == 25


@pytest.mark.parametrize(("rows", "epochs", "rollout", "iterations"), RUNS)
def test_the_passes_are_the_prompts_that_the_feed_gives(recipe, rows, epochs, rollout, iterations):
    """Every rollout batch takes as many prompts from the feed, the order flowing on from pass to pass."""
    plan = planned(recipe, rows, epochs, rollout, iterations)
    taken, batch = 0, plan.batch
    for step in range(plan.steps):
        taken += batch.prompts_per_rollout if step % batch.steps_per_rollout == 0 else 0
    part = plan.steps % batch.steps_per_rollout
    taken -= batch.prompts_per_rollout * (1 - part / batch.steps_per_rollout) if part else 0
    assert isclose(plan.batch.passes_over_data(plan.steps, rows), taken / rows)


def test_the_epoch_line_says_how_many_passes_the_run_is(recipe):
    def line(rows: int, epochs: float, **changes) -> str:
        text = report(planned(recipe, rows, epochs, None, 1, **changes))
        return next(line for line in text.splitlines() if line.startswith("epoch"))

    assert line(10, 4).endswith("2 optimizer steps; the run: 8 optimizer steps, 3.2 passes over the prompts")
    assert line(10, 0.75).endswith("the run: 2 optimizer steps, 0.8 passes over the prompts")
    assert line(100, 2).endswith("25 optimizer steps; the run: 50 optimizer steps")
    assert "3 prompts are fewer than the 4 of a rollout batch; the run: 1 optimizer steps, 1.33 passes" in line(3, 2)
    dynamic = line(10, 4, algorithm={"name": "dapo"})
    assert dynamic.endswith("8 optimizer steps, at least 3.2 passes over the prompts")


def test_a_batch_smaller_than_a_group_is_a_problem_not_a_crash(recipe):
    plan = Plan(recipe(trl={"num_generations": 64}), Machine(2, 1), rows=100)
    assert any("not whole groups" in problem for problem in plan.problems)
    assert "rollout batch   0 prompts" in report(plan)

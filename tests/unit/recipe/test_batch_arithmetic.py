import itertools
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from grpo_plugin.recipe.batch_arithmetic import (
    Batch,
    batch_of_arguments,
    batch_of_values,
    batch_problems,
    fitting_sizes,
    nearest,
)


def test_the_arithmetic_of_math12k():
    """7 trainers, micro-batches of 5, 18 of them: 630 completions of 126 prompts a step, 4 steps a rollout batch."""
    batch = Batch(processes=7, micro=5, accumulation=18, generations=5, rollout=2520)
    assert (batch.per_accumulation_step, batch.per_step, batch.per_rollout) == (35, 630, 2520)
    assert (batch.prompts_per_rollout, batch.prompts_per_step) == (504, 126)
    assert (batch.minibatches, batch.steps_per_rollout) == (4, 4)
    assert batch.steps_per_epoch(12000) == 23 * 4
    assert batch_problems(batch) == []


def test_without_a_rollout_batch_there_is_one_step_per_rollout():
    batch = Batch(processes=1, micro=16, accumulation=4, generations=16)
    assert (batch.per_rollout, batch.prompts_per_rollout, batch.steps_per_rollout) == (64, 4, 1)


def test_iterations_make_more_steps_of_the_same_rollout_batch():
    batch = Batch(processes=2, micro=4, accumulation=2, generations=8, rollout=64, iterations=3)
    assert batch.steps_per_rollout == 3 * 4
    assert batch.steps_per_epoch(80) == 10 * 12


def test_a_step_may_span_several_rollout_batches_but_not_parts_of_them():
    """The trainer generates for a whole step at once, however small generation_batch_size is."""
    small = Batch(processes=1, micro=4, accumulation=4, generations=4, rollout=8)
    assert batch_problems(small) == []
    assert (small.per_rollout, small.prompts_per_rollout, small.steps_per_rollout) == (16, 4, 1)
    spanning = Batch(processes=1, micro=4, accumulation=4, generations=4, rollout=24)
    assert batch_problems(spanning) == [
        "trl.generation_batch_size: 24 completions make 1.50 optimizer steps of 16, so that a step would mix two "
        "rollout batches; the nearest that fit: 16 or 32."
    ]


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (Batch(1, generations=1), "trl.num_generations: 1 completion per prompt has nothing to compare"),
        (
            Batch(7, 5, 18, 5, rollout=2512),
            "2512 completions are not whole groups of trl.num_generations 5",
        ),
        (Batch(7, 5, 18, 5, rollout=2560), "micro-batches of 5; the nearest that fit: 2520 or 3150."),
        (Batch(7, 1, 91, 5), "637 completions per step are not whole groups of trl.num_generations 5; the nearest "),
        (Batch(7, 16, 1, 16), "Axolotl refuses although its 7 groups are whole; set trl.generation_batch_size: 112."),
        (Batch(5, 1, 1, 5), "Axolotl refuses although its 1 groups are whole; set trl.generation_batch_size: 5."),
    ],
)
def test_what_does_not_divide_is_said_with_what_does(batch, expected):
    (problem,) = batch_problems(batch)
    assert expected in problem


def test_the_nearest_accumulations_fit():
    assert "accumulations that fit: 90 or 95." in batch_problems(Batch(7, 1, 91, 5))[0]
    for accumulation in (90, 95):
        assert batch_problems(Batch(7, 1, accumulation, 5)) == []


def test_suggested_rollout_batches_have_no_problem():
    for processes, micro, accumulation, generations in itertools.product((1, 3, 7), (1, 2, 5), (1, 4, 6), (2, 5, 8)):
        batch = Batch(processes, micro, accumulation, generations, rollout=997)
        suggestion = batch_problems(batch)[0].rpartition(": ")[2].rstrip(".")
        for rollout in suggestion.split(" or "):
            assert batch_problems(Batch(processes, micro, accumulation, generations, int(rollout))) == []


def test_values_have_axolotls_and_trls_defaults():
    assert batch_of_values({}, 3) == Batch(3, 1, 1, 8, None, 1)
    written = {"micro_batch_size": 4, "batch_size": 32, "trl": {"num_generations": 4, "num_iterations": 2}}
    assert batch_of_values(written, 1) == Batch(1, 4, 8, 4, None, 2)


def test_nearest():
    assert nearest(640, 35) == "630 or 665"
    assert nearest(3, 35) == "35"


def test_accumulation_steps_of_an_epoch():
    """Groups of 4; a rollout batch of 64 is 16 prompts and 2 optimizer steps of 4 accumulation steps, 3 times over."""
    batch = Batch(processes=2, micro=4, accumulation=4, generations=4, rollout=64, iterations=3)
    assert batch.minibatches == 2
    assert batch.accumulation_steps_per_epoch(33) == 2 * (2 * 3 * 4)
    assert batch.accumulation_steps_per_epoch(5) == 2 * 3 * 4, "prompts are repeated to fill one rollout batch"


@pytest.mark.parametrize(
    ("rows", "epochs", "max_steps", "steps"),
    [
        (100, 2, None, 50),
        (100, 0.5, None, 13),
        (100, 0.01, -1, 1),
        (100, None, 0, 25),
        (100, 2, 7, 7),
        (None, 2, 7, 7),
        (None, 2, None, None),
        (None, 2, -1, None),
    ],
)
def test_the_steps_of_a_run(rows, epochs, max_steps, steps):
    assert Batch(1, 4, 4, 4).steps(rows, epochs, max_steps) == steps


def test_the_trainers_arguments_and_the_recipes_values_give_one_batch():
    values = {"micro_batch_size": 4, "gradient_accumulation_steps": 2}
    trl = {"num_generations": 4, "generation_batch_size": 64, "num_iterations": 2}
    args = SimpleNamespace(per_device_train_batch_size=4, gradient_accumulation_steps=2, **trl)
    assert batch_of_arguments(args, 3) == batch_of_values({**values, "trl": trl}, 3)


def test_fitting_sizes_fit():
    counts = (1, 2, 3, 5, 7, 16)
    for processes, micro, accumulation, generations in itertools.product(counts, (1, 3, 4), (1, 3, 18), (2, 5, 8)):
        for rollout in (None, 72, 2520):
            batch = Batch(processes, micro, accumulation, generations, rollout)
            named = dict(re.findall(r"(accumulation|generation_batch)_(?:steps|size) (\d+)", fitting_sizes(batch)))
            size = int(named["generation_batch"]) if "generation_batch" in named else None
            fitting = replace(batch, accumulation=int(named["accumulation"]), rollout=size)
            assert batch_problems(fitting) == [], (batch, named)


def test_fitting_sizes_are_near_those_of_the_batch():
    """64 processes × 40 = 2560 completions are nearest to 2520; 3 × 4 × 2 = 24 are whole groups of 8 each."""
    large = Batch(64, 1, 105, 5, 2520)
    assert fitting_sizes(large) == "gradient_accumulation_steps 40 and trl.generation_batch_size 2560"
    assert fitting_sizes(Batch(1, 4, 3, 8)) == "gradient_accumulation_steps 2 or 4"
    assert fitting_sizes(Batch(3, 4, 1, 8)) == "gradient_accumulation_steps 2 and trl.generation_batch_size 24"

"""The rollout batch in hand: what is left of it is trained on after a resume, by as many ranks as there are then."""

import pickle
from dataclasses import replace

import pytest

from grpo_plugin.errors import RecipeError
from grpo_plugin.recipe.batch_arithmetic import Batch
from grpo_plugin.trainer.current_batch import CurrentBatch
from tests.unit.trainer.rollouts import make_step, one_process, rollouts

# A batch of 8 completions is trained on twice, in 2 optimizer steps of 2 accumulation steps each time.
PLAN = Batch(processes=1, micro=2, accumulation=2, generations=4, rollout=8, iterations=2)


def current(rank: int = 0, ranks: int = 1, plan: Batch = PLAN) -> CurrentBatch:
    step = make_step({"name": "reinforce_plus_plus_baseline"}, accelerator=one_process(rank, ranks), completions=2)
    return CurrentBatch(step.builder, plan)


def begun() -> CurrentBatch:
    """A batch of which one optimizer step has been made."""
    batch = current()
    batch.begin(make_step({"name": "reinforce_plus_plus_baseline"}).builder.build(rollouts()))
    for _ in range(PLAN.accumulation):
        batch.next_accumulation_step()
    return batch


def rows(batch: CurrentBatch, steps: int, accumulation: int) -> list[set[int]]:
    """The rows that this rank trains on in each optimizer step that is left."""
    found = []
    for _ in range(steps):
        micro_batches = [micro for _ in range(accumulation) for micro in batch.next_accumulation_step()]
        found.append({rollout.row for micro in micro_batches for rollout in micro.rollouts})
    assert batch.is_used_up
    return found


LEFT = [{4, 5, 6, 7}, {0, 1, 2, 3}, {4, 5, 6, 7}]  # after the step over the first four


def test_what_is_left_goes_through_a_checkpoint():
    batch, resumed = begun(), current()
    resumed.restore(pickle.loads(pickle.dumps(batch.state())))
    before, after = batch.next_accumulation_step(), resumed.next_accumulation_step()
    assert [micro.rollouts for micro in before] == [micro.rollouts for micro in after] != []
    assert before[0].denominator == after[0].denominator
    resumed.restore(begun().state())
    assert rows(resumed, 3, 2) == LEFT


def test_two_ranks_go_on_where_one_was():
    plan = replace(PLAN, processes=2, accumulation=1)
    by_rank = []
    for rank in range(2):
        batch = current(rank, 2, plan)
        batch.restore(begun().state())
        by_rank.append(rows(batch, 3, 1))
    assert [one | other for one, other in zip(*by_rank, strict=True)] == LEFT
    assert all(one.isdisjoint(other) for one, other in zip(*by_rank, strict=True))


def test_a_used_up_batch_keeps_no_samples():
    batch = begun()
    rows(batch, 3, 2)
    assert batch.state()["samples"] == [] and batch.state()["steps_left"] == 0
    resumed = current()
    resumed.restore(batch.state())
    assert resumed.is_used_up


def test_other_sizes_are_refused_with_the_number_to_set():
    with pytest.raises(
        RecipeError,
        match=r"2 × micro_batch_size 2 × 2 process\(es\) = 8 completions per step, but .* 4; "
        r"set gradient_accumulation_steps: 1\.",
    ):
        current(plan=replace(PLAN, processes=2)).restore(begun().state())
    with pytest.raises(RecipeError, match="use as many processes as before"):
        current(plan=replace(PLAN, processes=3)).restore(begun().state())
    with pytest.raises(RecipeError, match=r"trl.generation_batch_size: 16 completions, .* saved with 8"):
        current(plan=replace(PLAN, rollout=16)).restore(begun().state())

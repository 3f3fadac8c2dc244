"""Every rollout is run once, on one rank, within the budget; ranks take the same number of micro-batches."""

from types import SimpleNamespace

import pytest

from grpo_plugin.trainer.micro_batches import BatchSize, assign_micro_batches, optimizer_steps, share_of_rank

LENGTHS = [5, 90, 20, 30, 44, 7, 61, 12, 33, 8]


def assign(lengths, size, rank=0, ranks=1, accumulation_steps=1):
    return assign_micro_batches(lengths, size, rank=rank, ranks=ranks, accumulation_steps=accumulation_steps)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("size", [BatchSize(2), BatchSize(3), BatchSize(1, tokens=100)], ids=str)
def test_all_are_assigned_once_and_ranks_have_as_many(ranks, steps, size):
    shares = [assign(LENGTHS, size, rank, ranks, steps) for rank in range(ranks)]
    assert sorted(i for share in shares for step in share for batch in step for i in batch) == list(range(10))
    assert len({tuple(len(step) for step in share) for share in shares}) == 1
    assert all(len(share) == steps for share in shares)


def test_number_and_budget_hold():
    assert all(len(batch) <= 3 for step in assign(LENGTHS, BatchSize(3), accumulation_steps=2) for batch in step)
    for step in assign(LENGTHS, BatchSize(1, tokens=100), accumulation_steps=2):
        assert all(sum(LENGTHS[i] for i in batch) <= 100 for batch in step)


def test_a_few_micro_batches_go_to_the_last_accumulation_steps_where_gradients_are_averaged():
    assert assign([5, 5], BatchSize(2), accumulation_steps=3) == [[], [], [[0, 1]]]
    assert assign([5], BatchSize(1), rank=1, ranks=2, accumulation_steps=2) == [[], [[]]]
    assert assign([], BatchSize(2), ranks=2, accumulation_steps=2) == [[], []]


def test_a_full_batch_is_one_micro_batch_per_accumulation_step():
    assert assign([1] * 8, BatchSize(2), rank=0, ranks=2, accumulation_steps=2) == [[[4, 5]], [[0, 1]]]
    assert assign([1] * 8, BatchSize(2), rank=1, ranks=2, accumulation_steps=2) == [[[6, 7]], [[2, 3]]]


def test_optimizer_steps_divide_a_batch_evenly():
    assert [list(step) for step in optimizer_steps(6, 3)] == [[0, 1], [2, 3], [4, 5]]
    assert [len(step) for step in optimizer_steps(7, 2)] == [3, 4]
    assert [len(step) for step in optimizer_steps(0, 2)] == [0, 0]


@pytest.mark.parametrize(("number", "expected"), [(8, [3, 3, 2]), (3, [1, 1, 1]), (1, [1, 0, 0]), (0, [0, 0, 0])])
def test_the_items_of_a_rank_are_consecutive_and_all_are_somebodys(number, expected):
    shares = [share_of_rank(number, SimpleNamespace(num_processes=3, process_index=rank)) for rank in range(3)]
    assert [len(share) for share in shares] == expected
    assert [item for share in shares for item in share] == list(range(number))
